"""Recording what the original graphs compute, layer by layer."""
