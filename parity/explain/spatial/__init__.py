"""What a port pads, crops, pools or resizes otherwise than the original: found by computing the layer itself, not by its attributes."""
