"""Draws on frames."""
