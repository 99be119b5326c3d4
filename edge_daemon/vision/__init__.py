"""Finds, tracks and classifies faces."""
