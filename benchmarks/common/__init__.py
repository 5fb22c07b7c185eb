"""What the benchmarks measure (releases, models, the training step in plain form), and the clock that they measure with."""
