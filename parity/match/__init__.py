"""Which tensor of the port is held against which tensor of the original."""
