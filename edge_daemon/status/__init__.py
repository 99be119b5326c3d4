"""Reports the state of the daemon for people and for Prometheus."""
