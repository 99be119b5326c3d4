"""Fetches signed models, tries them and uses those that work."""
