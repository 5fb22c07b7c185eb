"""How variables become PyTorch tensors: layouts, a rule table for each known network, the user's own table (docs/mapping.md)."""
