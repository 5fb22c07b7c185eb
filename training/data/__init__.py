"""Images to learn from: MNIST's digits, folders, folders with a table of labels."""
