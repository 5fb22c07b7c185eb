"""Training: a StylEx for a classifier, from converted weights or from scratch, and the classifier itself."""
