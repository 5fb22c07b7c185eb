"""The only room that imports TensorFlow.

networks/: reference networks with the released variable names, written from the papers and not from `torch_models`, so that the two
check each other. release/: writing releases. replay/: evaluating an original graph in float32 and in float64. record/: recording what
every layer computes.
"""
