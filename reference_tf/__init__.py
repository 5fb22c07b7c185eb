"""The TensorFlow side: reference networks that carry the released variable names, and releases made of them.

The only room that imports TensorFlow. Written from the papers' formulas and not from `torch_models`: the two are
two witnesses.
"""
