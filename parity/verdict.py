"""All rules of a verdict, and every threshold once (DESIGN.md, "Rules of the proof"; docs/verify.md).

The passes of `stylexport.parity.compare` only measure. What they measured of a layer is an `Evidence`; this file says what a layer, a
network and the whole proof are called because of it. Every comparison is written so that NaN fails it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

# A layer's verdict. `carried`: wrong only because of what came in; its own judgement passes.
# `reordered`: another order of the same sum. The layer's own value is none of the original's, but the sum in which it goes agrees in the
# chain: no fault, for a port that errs there errs in the sum, or behind it.
PASS, NUMERIC, FAULT, CARRIED, MISSING, REORDERED = "pass", "numeric", "fault", "carried", "missing", "reordered"
INCOMPLETE = "incomplete"
EXIT_CODES = {PASS: 0, NUMERIC: 1, FAULT: 1, INCOMPLETE: 3}

EXACT = 1e-7  # of a layer alone, T64 against S64; also what is left of an error that a hypothesis explains
UNIT = 2.0**-24  # half the spacing of float32 at 1: the least rounding floor, and what one rounded constant may do
TIMES_FLOOR, TIMES_FLOOR_SMALL, SMALL = 8.0, 16.0, 1000  # tensors of fewer elements than SMALL are less averaged
# The rounding unit of what a precision multiplies in.
UNITS = {"fp32": UNIT, "tf32": 2.0**-11, "fp16": 2.0**-11, "bf16": 2.0**-8}

# The most that float32 rounding adds to e(S32) in one step of a network. A sum of n rounded terms errs by about sqrt(n) units (Higham and
# Mary 2019, "A new approach to probabilistic rounding error analysis", section 3): 2^7 for n = 2^14, more than any kernel of these
# networks has. 2^6 is room for terms that cancel. However many steps there are, a tenth of a tensor is not rounding.
ROUNDING_A_STEP = UNIT * 2**7 * 2**6
ROUNDING_AT_MOST = 0.1
ROUNDING_AT_MOST_16 = 0.5  # of arithmetic in 16 bits: a hundred layers, each of which rounds by 2^-8, reach a tenth


@dataclass(frozen=True)
class Evidence:
    """What was measured of one layer. Errors are |x - S64| / |S64| in L2 norms.

    `alone` is T64's, fed with the original's own inputs, and `allowed_alone` what it may be; `error64` and `allowed64` are those in the
    chain. `ratio` is the float32 error over the rounding floor (in a lower precision, the layer's own error over that format's rounding
    unit), None where the arithmetic is not judged. `elements` is the size of the tensor. `answered`: whether any layer gives this tensor
    of the original. `other_values`: whether a tensor of the layer differs from the original's variable, number by number. `reordered`:
    `alone` and `error64` are those of the sum in which the layer's value goes, in the chain.
    """

    alone: float
    error64: float
    allowed64: float = EXACT
    allowed_alone: float = EXACT
    ratio: float | None = None
    elements: int = 1
    answered: bool = True
    other_values: bool = False
    reordered: bool = False


def layer_verdict(layer: Evidence) -> str:
    """A layer by itself.

    Example:
        >>> layer_verdict(Evidence(alone=3e-9, error64=2e-8, ratio=1.4, elements=4096))
        'pass'
        >>> layer_verdict(Evidence(alone=3e-9, error64=2e-8, ratio=41.5, elements=4096))
        'numeric'
        >>> layer_verdict(Evidence(alone=3e-9, error64=0.7, ratio=1e7, elements=4096))
        'carried'
        >>> layer_verdict(Evidence(alone=float("nan"), error64=0.7))
        'fault'

    """
    if not layer.answered:
        return MISSING
    if layer.reordered and not layer.other_values and layer.error64 <= layer.allowed64:
        return REORDERED
    if layer.other_values or not layer.alone <= layer.allowed_alone:
        return FAULT
    if not layer.error64 <= layer.allowed64:
        return CARRIED
    return PASS if layer.ratio is None or layer.ratio <= allowed_ratio(layer.elements) else NUMERIC


def severity(layer: Evidence) -> tuple[int, float, float]:
    """Sorts the calls of one layer: the last is the one that decides, which is furthest beyond its limits or nearest to them.

    Example:
        >>> calls = [Evidence(alone=3e-9, error64=0.7), Evidence(alone=3e-9, error64=2e-8, ratio=2.5)]
        >>> max(calls, key=severity) is calls[0]
        True

    """
    rank = (PASS, REORDERED, NUMERIC, CARRIED, FAULT, MISSING).index(layer_verdict(layer))
    far = layer.alone if layer_verdict(layer) == FAULT else layer.error64 / layer.allowed64
    ratio = layer.ratio or 0.0
    return rank, math.inf if math.isnan(far) else far, math.inf if math.isnan(ratio) else ratio


def network_verdicts(layers: Sequence[Evidence]) -> list[str]:
    """The layers of one network, in the order of execution.

    One that is wrong because of what came in, though no layer before it is at fault or missing, is at fault: the code between the layers
    is another.

    Example:
        >>> network_verdicts([Evidence(alone=0.0, error64=0.0), Evidence(alone=0.0, error64=0.7), Evidence(alone=0.0, error64=0.7)])
        ['pass', 'fault', 'carried']

    """
    verdicts = [layer_verdict(layer) for layer in layers]
    first = next((i for i, verdict in enumerate(verdicts) if verdict in (FAULT, MISSING, CARRIED)), None)
    if first is not None and verdicts[first] == CARRIED:
        verdicts[first] = FAULT
    return verdicts


def proof_verdict(layers: Collection[str], *, faults: int, covered: bool, gates_hold: bool) -> str:
    """The whole proof, from the layers' verdicts: `fault` before `incomplete` before `numeric` before `pass`.

    Example:
        >>> proof_verdict(["pass", "numeric"], faults=0, covered=False, gates_hold=True)
        'incomplete'

    """
    if FAULT in layers or faults:
        return FAULT
    if not covered:
        return INCOMPLETE
    return PASS if NUMERIC not in layers and gates_hold else NUMERIC


def allowed_ratio(elements: int) -> float:
    """How many times the floor a float32 error may be for a tensor of so many elements."""
    return TIMES_FLOOR_SMALL if elements < SMALL else TIMES_FLOOR


def allowed_alone(constants: int, unit: float = UNIT, coarse_constants: int = 0) -> float:
    """What T64 may differ alone: a unit of rounding more for each rounded constant between the layer and those before it.

    A port may hold such a constant, a mean or a scale of its preprocessing, as it was before it was rounded.

    Example:
        >>> allowed_alone(0) == EXACT, allowed_alone(2) == EXACT + 2 * UNIT
        (True, True)

    """
    return EXACT + constants * UNIT + coarse_constants * unit


def allowed_in_chain(constants: int, floor: float, unit: float = UNIT, coarse_constants: int = 0) -> float:
    """What T64 may differ in the chain: a unit of rounding for each rounded constant upstream, and what such rounding grows to.

    How rounding grows is seen in the original's own, `floor`; in an original of 16 bits (`unit`) it is that much larger than the
    rounding of float32 constants, so that it is allowed whole only where constants are rounded to 16 bits too.

    Example:
        >>> allowed_in_chain(2, floor=1e-8) == EXACT + 2 * UNIT, allowed_in_chain(2, floor=1e-7)
        (True, 8e-07)
        >>> allowed_in_chain(0, floor=0.004, unit=2.0**-8) < 1e-6, allowed_in_chain(0, floor=0.004, unit=2.0**-8, coarse_constants=1)
        (True, 0.032)

    """
    grown = floor if coarse_constants else floor * UNIT / unit
    return max(EXACT + constants * UNIT + coarse_constants * unit, TIMES_FLOOR * grown)


def explained_by_rounding(constants: int, unit: float = UNIT) -> float:
    """The largest e(S32) that rounding explains behind so many rounded constants, each of which stands for a step.

    `unit` is the unit of rounding of the original's arithmetic. Above it the original's own arithmetic computes something else than its
    float64 replay: one of its kernels is wrong. It is then no measure, and the layer is judged by float64 alone. In 16 bits every step
    may reach the most.
    """
    return min((constants + 1) * ROUNDING_A_STEP, ROUNDING_AT_MOST) if unit <= UNIT else ROUNDING_AT_MOST_16
