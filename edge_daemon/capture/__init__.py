"""Cameras and other sources of frames."""
