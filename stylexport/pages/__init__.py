"""HTML pages: one renderer and one base template."""
