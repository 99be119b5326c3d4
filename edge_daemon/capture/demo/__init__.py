"""The built-in demo source: a drawn scene."""
