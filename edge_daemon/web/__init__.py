"""The web page, the stream and the HTTP API."""
