"""TensorFlow files to PyTorch tensors, importing neither framework: `artefacts` reads, `mapping` carries over."""
