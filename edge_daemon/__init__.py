"""Mien's headless daemon: camera in, annotated stream, event log and state out."""

__version__ = "0.1.0"
