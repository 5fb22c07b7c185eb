"""What may be wrong with a recurrent layer or an attention: gates, biases, steps, directions, scale."""
