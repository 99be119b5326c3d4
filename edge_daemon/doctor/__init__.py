"""Checks the device and reports how to fix each problem."""
