"""The typed configuration: schema, sections and the file it is read from."""
