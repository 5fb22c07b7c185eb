"""Showing what attributes do."""
