"""Selecting attributes from effects."""
