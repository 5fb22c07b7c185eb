"""What could be wrong with a layer, as experiments: each hypothesis puts one thing right in a copy of the layer.

`weights` turns its tensors, `attributes` sets its constants, `inputs` and `outputs` rearrange what goes in and comes out, and `code`
breaks a plain form of the layer until it errs as the port does.
"""
