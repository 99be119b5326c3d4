"""Finds, follows and classifies faces."""
