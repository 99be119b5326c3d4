"""Publishes events and state to an MQTT broker."""
