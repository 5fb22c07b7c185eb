"""The losses, each a function of tensors with its equation; `training.step` weighs and sums them."""
