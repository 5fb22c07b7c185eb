"""What could be wrong with a layer, as experiments: each hypothesis puts one thing right in a copy of the layer.

weight_hypotheses.py permutes and replaces its tensors, attribute_hypotheses.py sets its constants, input_hypotheses.py and
output_hypotheses.py rearrange its inputs and outputs, code_changes.py changes a plain formula of the layer until it errs as the port does,
and fitted.py fits numbers to the activations.
"""
