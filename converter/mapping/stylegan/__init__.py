"""StyleGAN2's networks: their rule tables, and their constants as a graph holds them."""
