"""Opening a classifier: where it comes from, its preprocessing, its weights."""
