"""How variables become PyTorch tensors: layouts, one rule table a network, and the ledger that accounts for both sides."""
