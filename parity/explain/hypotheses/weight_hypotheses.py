"""Hypotheses on a layer's tensors: flipped, transposed, permuted, scaled, swapped with one another, zero, or of other values.

Where the original's tensors are known, comparing them shows which change leads to them (`shown_by_tensors`); what none explains is
replaced. Every permutation that is possible is tried as well, because a module's code may permute a kernel that is right in the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from stylexport.parity.explain.causes import ORDER
from stylexport.parity.explain.hypotheses.hypothesis import SEEN, Hypothesis, number, setting, together
from stylexport.parity.explain.hypotheses.tensors import assign, close, differing, factor, in_words, own_tensors, permutation
from stylexport.parity.explain.hypotheses.weight_permutations import PERMUTATIONS, Permutation
from stylexport.parity.explain.suspect import Suspect

NewTensors = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


# Tensors that swap places: cause, the two names, in words.
SWAPS = (
    ("bn_moments_swapped", "running_mean", "running_var", "mean and variance are swapped"),
    ("bn_affine_swapped", "weight", "bias", "scale and offset are swapped"),
)
NOISE = ("noise_strength", "noise_const")
LAST_LAYERS = ("head", "out", "output", "outputs", "logits", "fc", "classifier", "predictions", "dense")


def weight_hypotheses(suspect: Suspect) -> Iterator[Hypothesis]:
    """What the tensors show, each alone and all together, then every permutation."""
    seen = shown_by_tensors(suspect)
    yield from seen
    if len(seen) > 1:
        whole = seen[0]
        for other in seen[1:]:
            whole = together(whole, other)
        yield whole
    yield from _supposed(suspect)


def shown_by_tensors(suspect: Suspect) -> list[Hypothesis]:
    """The fewest changes from the port's tensors to the original's, the most specific first; none where they are the same."""
    own, original = own_tensors(suspect.module), suspect.weights
    left = differing(own, original)
    found: dict[str, list[Hypothesis]] = {}

    def add(hypothesis: Hypothesis) -> None:
        found.setdefault(hypothesis.cause, []).append(hypothesis)

    for hypothesis, names in _swaps(suspect, own):
        first, second = names
        if set(names) <= set(left) and (close(own[first], original[second]) or close(own[second], original[first])):
            # One tensor in the other's place is enough: a mean that was made positive to serve as a variance cannot be recognised.
            add(_hypothesis(hypothesis.cause, hypothesis.detail, partial(_originals, original, names), SEEN, replaces=True))
            left = tuple(name for name in left if name not in names)
    for name in left:
        add(_explained(suspect, name, own.get(name), original[name]))
    return [_all_of(found[cause]) for cause in sorted(found, key=ORDER.__getitem__)]


def _all_of(hypotheses: list[Hypothesis]) -> Hypothesis:
    """All at once; the detail names three at most."""
    whole = hypotheses[0]
    for other in hypotheses[1:]:
        whole = together(whole, other)
    named = "; ".join(hypothesis.detail for hypothesis in hypotheses[:3])
    more = f"; and {len(hypotheses) - 3} tensors more" if len(hypotheses) > 3 else ""
    return replace(whole, detail=named + more)


def _explained(suspect: Suspect, name: str, own: Tensor | None, original: Tensor) -> Hypothesis:
    """The most specific way from the port's tensor to the original's."""
    label, last = _label(suspect, name), name.rpartition(".")[2]
    if last in NOISE:
        return _replaced("noise", name, f"{label} {_noise_words(own, original)}", original)
    if own is None or (last == "bias" and not own.count_nonzero()):
        cause = "bias_missing" if last == "bias" else "weight_value"
        return _replaced(cause, name, f"{label} is {'absent' if own is None else 'all zeros'}, the original's is not", original)
    if last in ("weight", "const"):
        for known in PERMUTATIONS:
            if known.fits(own) and close(known.undo(own), original):
                return _permuted(known, name, label, SEEN)
    if suspect.layer.startswith("style_vectors") and last == "bias":
        for plus, words in ((1.0, "lacks 1: one was subtracted from it"), (-1.0, "already holds the one that is added to a style")):
            if close(own + plus, original):
                return _scaled("style_plus_one_missing", name, f"{label} {words}", 1.0, plus)
    for axis in range(min(original.ndim, 2)):
        if (order := permutation(own, original, axis)) is not None:
            return _reordered(suspect, name, label, axis, order)
    if (ratio := factor(own, original)) is not None and (meant := factor_cause(suspect, name, ratio)) is not None:
        words = f"{label} is {number(1 / ratio)} times the original's{_known_factor(suspect, own, 1 / ratio)}"
        return _scaled(meant, name, words, ratio, 0.0)
    return _replaced("weight_value", name, f"{label}{values_in_words(own, original)}", original)


def values_in_words(own: Tensor, original: Tensor) -> str:
    """The largest difference, as in: [5, 3, 1, 2] (output channel 5) is 0.7, the original's is -0.2; and how many elements differ."""
    if own.shape != original.shape:
        return f" is {list(own.shape)}, the original's {list(original.shape)}"
    distance = (own.double() - original.double()).abs()
    distance = torch.where(distance.isnan(), torch.full_like(distance, math.inf), distance)
    worst = int(distance.argmax())
    index = [int(i) for i in torch.unravel_index(torch.tensor(worst), own.shape)] if own.ndim else []
    place = f"{index} (output channel {index[0]})" if index else ""
    count = int((distance > 1e-8 * original.double().abs()).sum())
    many = f"; {count} of {own.numel()} elements differ" if count > 1 else ""
    for dtype in (torch.float16, torch.bfloat16):
        if count > 1 and bool((own == original.to(dtype).to(own.dtype)).all()):
            many += f", by rounding to {str(dtype).removeprefix('torch.')}"
            break
    return f"{place} is {number(float(own.flatten()[worst]))}, the original's is {number(float(original.flatten()[worst]))}{many}"


def _supposed(suspect: Suspect) -> Iterator[Hypothesis]:
    """Every permutation that fits the layer's tensors, whatever the original's are."""
    own = own_tensors(suspect.module)
    for name, value in own.items():
        last, label = name.rpartition(".")[2], _label(suspect, name)
        if last == "weight":
            yield from (_permuted(known, name, label) for known in PERMUTATIONS if known.fits(value))
            for axis in (0, 1):
                if value.ndim in (2, 4) and value.shape[axis] in (2, 3):
                    order = list(reversed(range(value.shape[axis])))
                    yield replace(_reordered(suspect, name, label, axis, order), evidence=1)
        elif last == "noise_const":
            yield _of("noise", f"{label} has height and width swapped", name, lambda t: t.transpose(-2, -1))
        elif suspect.layer.startswith("style_vectors") and last == "bias":
            for plus in (1.0, -1.0):
                yield replace(_scaled("style_plus_one_missing", name, f"{label} is off by {-plus:+g}", 1.0, plus), evidence=1)
    yield from (hypothesis for hypothesis, _ in _swaps(suspect, own))


def _swaps(suspect: Suspect, own: Mapping[str, Tensor]) -> Iterator[tuple[Hypothesis, tuple[str, str]]]:
    """Pairs of vectors of a BatchNorm that may be swapped."""
    for name in own:
        path, dot, last = name.rpartition(".")
        for cause, one, other, words in SWAPS:
            first, second = f"{path}{dot}{one}", f"{path}{dot}{other}"
            if last == one and f"{path}{dot}running_var" in own and second in own:
                label = _label(suspect, path) if path else suspect.layer
                yield _hypothesis(cause, f"{label}: {words}", _swap(first, second)), (first, second)


def _swap(first: str, second: str) -> NewTensors:
    return lambda own: {first: own[second], second: own[first]}


def _originals(original: Mapping[str, Tensor], names: tuple[str, ...], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: original[name] for name in names}


def _label(suspect: Suspect, name: str) -> str:
    return f"{suspect.layer}.{name}"


def _hypothesis(
    cause: str, detail: str, new_tensors: NewTensors, evidence: int = 1, replaces: bool = False, remedy: str = ""
) -> Hypothesis:
    def change(module: nn.Module) -> None:
        for name, value in new_tensors(own_tensors(module)).items():
            assign(module, name, value.clone())

    return Hypothesis(cause, detail, evidence=evidence, module=change, replaces=replaces)


def _of(cause: str, detail: str, name: str, change: Callable[[Tensor], Tensor], evidence: int = 1) -> Hypothesis:
    return _hypothesis(cause, detail, lambda own: {name: change(own[name])}, evidence)


def _permuted(known: Permutation, name: str, label: str, evidence: int = 1) -> Hypothesis:
    return _of(known.cause, f"{label} {known.detail}", name, known.undo, evidence)


def _scaled(cause: str, name: str, detail: str, ratio: float, plus: float) -> Hypothesis:
    return _of(cause, detail, name, lambda t: t * ratio + plus, SEEN)


def _replaced(cause: str, name: str, detail: str, original: Tensor) -> Hypothesis:
    return _hypothesis(cause, detail, lambda own: {name: original}, SEEN, replaces=True)


def _reordered(suspect: Suspect, name: str, label: str, axis: int, order: list[int]) -> Hypothesis:
    """Slices along an axis put into the original's order: labels at the network's end and in a dlatent, channels elsewhere."""
    labels = setting(suspect.config, "labels")
    if suspect.layer.startswith("style_vectors") and axis == 1:
        moved = [i for i, place in enumerate(order) if i != place]
        cause = "label_order" if moved and moved[-1] >= len(order) - (labels or 0) else "channel_order"
    else:
        ends = suspect.layer.rpartition(".")[2] in LAST_LAYERS and (labels == len(order) or suspect.config is None)
        cause = "label_order" if ends and axis == 0 else "channel_order"
    what = "labels" if cause == "label_order" else ("outputs", "inputs")[axis]
    flattened = axis == 1 and cause == "channel_order" and _flattening(order)
    words = "inputs are flattened in the order H, W, C" if flattened else f"{what} stand in another order ({in_words(order)})"
    return _of(cause, f"{label}: {words}", name, lambda t: t.index_select(axis, torch.tensor(order, device=t.device)), SEEN)


def _flattening(order: list[int]) -> bool:
    """Whether an order of inputs is that of channels last against channels first, for some square map."""
    size = len(order)
    for side in range(2, math.isqrt(size) + 1):
        if size % side**2 == 0 and torch.arange(size).view(side**2, -1).t().flatten().tolist() in (order, _inverse(order)):
            return True
    return False


def _inverse(order: list[int]) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)


def _noise_words(own: Tensor | None, original: Tensor) -> str:
    if own is None or not own.count_nonzero():
        return "is zero or absent: the noise is dropped"
    if own.ndim == 2 and own.shape == original.t().shape and close(own.t(), original):
        return "has height and width swapped"
    return values_in_words(own, original).strip()


def factor_cause(suspect: Suspect, name: str, ratio: float) -> str | None:
    """What a constant factor on a whole tensor means; None where it means nothing by itself."""
    multiplier = _multiplier(suspect)
    if multiplier not in (None, 1.0) and any(math.isclose(ratio, m, rel_tol=1e-5) for m in (multiplier, 1 / multiplier)):
        return "lr_multiplier"
    known = any(math.isclose(abs(ratio), g, rel_tol=1e-5) for g in (math.sqrt(2), math.sqrt(0.5)))
    return "gain" if name.endswith("weight") or known else None


def _known_factor(suspect: Suspect, own: Tensor, ratio: float) -> str:
    """The factor's name, where it has one."""
    names = {"sqrt(2)": math.sqrt(2), "1 / sqrt(2)": math.sqrt(0.5)}
    if own.ndim in (2, 4):
        names |= {"1 / sqrt(fan in)": own[0].numel() ** -0.5, "sqrt(fan in)": own[0].numel() ** 0.5}
    if (multiplier := _multiplier(suspect)) not in (None, 1.0):
        names |= {"the learning-rate multiplier": multiplier, "1 / the learning-rate multiplier": 1 / multiplier}
    return next((f" ({name})" for name, value in names.items() if math.isclose(abs(ratio), value, rel_tol=1e-5)), "")


def _multiplier(suspect: Suspect) -> float:
    """The learning-rate multiplier of a dense layer as the original has it, 1 elsewhere."""
    if suspect.layer.startswith("mapping"):
        return float(setting(suspect.config, "mapping_lr_multiplier") or getattr(suspect.module, "lr_multiplier", 1.0))
    return 1.0
