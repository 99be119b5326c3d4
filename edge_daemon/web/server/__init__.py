"""The HTTP server, an adapter for gevent."""
