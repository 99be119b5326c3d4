"""Examines the device and says how to fix what is wrong."""
