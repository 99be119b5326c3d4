"""Posts events to other programs over HTTP."""
