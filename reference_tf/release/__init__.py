"""Writing releases: random ones, the embedded one, and a converted folder's way back."""
