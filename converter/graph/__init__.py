"""What a TensorFlow graph says: flattening, data flow, which operations belong to which layer, constants, taps. No TensorFlow."""
