"""Puts the daemon on a machine and takes it off again; the system's Python, nothing else needed."""
