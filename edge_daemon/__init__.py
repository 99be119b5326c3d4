"""Mien's headless daemon: finds and classifies faces, logs events, serves an annotated stream."""

__version__ = "0.2.0"
