"""The comparison of a port with its recording: layer by layer, end to end, and what the verdict is."""
