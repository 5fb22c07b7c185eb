"""Reference networks in TensorFlow, which carry the released variable names."""
