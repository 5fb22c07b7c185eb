"""Training a classifier for a StylEx to explain, and saying how far its answers are to be believed."""
