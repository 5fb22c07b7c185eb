"""Training: a StylEx for one's own classifier, from the start or from converted weights (Lang et al. 2021, section 3).

Data, classifier and networks come together in `begin`, `step` is one step, `loop` is the whole.
"""
