"""Draws annotations on frames, hides parts of them, and encodes them to JPEG."""
