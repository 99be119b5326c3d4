"""Reports on archives of events: `mien report`."""
