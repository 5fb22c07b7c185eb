"""The code between the networks: StylEx's `encode` and `decode`, judged alone on the originals' outputs.

No graph of the release does this; the authors' notebook does: a dlatent is w and the softmax of the classifier's logits, and an image is
clipped to [-1, 1]. The networks are stubs that return the recorded values, so only what StylEx itself does is judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from stylexport.parity.compare.comparison import NetworkResult
from stylexport.parity.compare.gates import probabilities
from stylexport.parity.compare.hooks import Stub
from stylexport.parity.difference import difference, finite_error
from stylexport.parity.explain.causes import CAUSES
from stylexport.parity.result import Fault, Layer
from stylexport.parity.verdict import EXACT, FAULT, UNIT, Evidence, layer_verdict
from stylexport.torch_models.stylex import StylEx

NETWORK, NOTEBOOK = "stylex", "the authors' notebook"


def verify_encode_decode(results: Iterable[NetworkResult]) -> tuple[list[Layer], list[Fault]]:
    """A layer each for `encode` and `decode`, where the networks that they combine were recorded and compared, and their faults."""
    known = {result.port.network: result for result in results if result.outputs}
    found: list[tuple[str, Tensor, Tensor, Mapping[str, Tensor]]] = []
    with torch.no_grad():
        if "encoder" in known and "classifier" in known:
            w, logits, head = _recorded(known["encoder"], "w"), _recorded(known["classifier"], "logits"), _head(known["classifier"])
            if len(w) == len(logits) and head == "linear":
                image = known["encoder"].original.inputs(torch.float64)["image"]
                given = _stylex(encoder=Stub(w), classifier=Stub(logits)).encode(image)
                right = torch.cat([w, probabilities(logits, head)], 1)
                found.append(("encode", given, right, {"logits_for_probabilities": torch.cat([w, logits], 1)}))
        if "generator" in known:
            image = _recorded(known["generator"], "image")
            dlatent = known["generator"].original.inputs(torch.float64).get("dlatent", image)
            given = _stylex(generator=Stub(image)).decode(dlatent)
            found.append(("decode", given, image.clamp(-1, 1), {}))
    layers = [_layer(name, given, right) for name, given, right, _ in found]
    faults = [_fault(*entry) for entry, layer in zip(found, layers, strict=True) if layer.verdict == FAULT]
    return layers, faults


def _stylex(**stubs: Any) -> StylEx:
    return StylEx(**stubs)


def _recorded(result: NetworkResult, output: str) -> Tensor:
    """An output of the original, in float64."""
    return result.original.output(output).double()


def _head(result: NetworkResult) -> str:
    return str((result.original.network.config or {}).get("output", "linear"))


def _layer(name: str, given: Tensor, right: Tensor) -> Layer:
    distance = difference(given, right) if given.shape == right.shape else None
    error = float("inf") if distance is None else distance.error
    return Layer(
        network=NETWORK,
        name=name,
        tf=NOTEBOOK,
        node="",
        stage="join",
        shape=tuple(right.shape),
        verdict=layer_verdict(Evidence(error, error)),
        alone=error,
        error64=error,
        error32=None,
        floor=UNIT,
        ratio=None,
        max_abs=None if distance is None else distance.max_abs,
        snr_db=None if distance is None else distance.snr_db,
        allowed64=EXACT,
    )


def _fault(name: str, given: Tensor, right: Tensor, mistakes: Mapping[str, Tensor]) -> Fault:
    """The fault: the mistake that gives just what was given, else unknown."""
    error = finite_error(given, right)
    for cause, mistake in mistakes.items():
        if (left := finite_error(given, mistake)) <= EXACT:
            return Fault(NETWORK, name, cause, "the dlatent ends in the classifier's logits", CAUSES[cause].remedy, error, left)
    detail, remedy = "what it gives is not what the notebook does with the recorded outputs", CAUSES["unknown"].remedy
    return Fault(NETWORK, name, "unknown", detail, remedy, error, error)
