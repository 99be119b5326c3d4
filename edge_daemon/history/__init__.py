"""Totals of the event log by minute, hour and day."""
