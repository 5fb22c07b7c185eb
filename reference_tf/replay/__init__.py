"""An original graph, evaluated node by node with TensorFlow's kernels, in float32 and float64."""
