"""SavedModels and frozen graphs."""
