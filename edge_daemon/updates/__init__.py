"""Fetches signed models and puts them in use."""
