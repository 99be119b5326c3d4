"""Classifies pictures, videos and folders."""
