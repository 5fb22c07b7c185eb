"""Measuring effects: a run from its creation to its last image."""
