"""The losses, each a function of tensors with its equation; `stylexport.training.step` weighs and sums them."""
