"""Events and the event log."""
