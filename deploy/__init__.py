"""Installs the daemon on a machine and removes it; needs nothing but the system's Python."""
