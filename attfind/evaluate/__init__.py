"""How many images the attributes change, and how far."""
