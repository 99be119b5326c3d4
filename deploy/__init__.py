"""Installs the daemon on a machine and removes it; needs only the system's Python."""
