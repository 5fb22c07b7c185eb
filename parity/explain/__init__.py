"""The cause of a fault: hypotheses are tried on the layer until one brings the error to rounding."""
