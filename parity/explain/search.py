"""The name of a fault: each hypothesis puts one thing right at the layer, and the one that brings the error to rounding is the cause.

What the original's files show is tried first, then the common mistakes from the most specific on, then the layer's code against a plain
form of it, then numbers fitted to the activations, then pairs. The runner-up is the best of the others, so that a reader sees how sure
the answer is.
"""

from __future__ import annotations

import copy
import heapq
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from stylexport.parity.explain.causes import CAUSES, ORDER
from stylexport.parity.explain.hypotheses.attribute_hypotheses import attribute_hypotheses
from stylexport.parity.explain.hypotheses.code import Break, breaks
from stylexport.parity.explain.hypotheses.fitted import fitted_breaks, fitted_hypotheses
from stylexport.parity.explain.hypotheses.hypothesis import FITTED, IMPOSSIBLE, SEEN, SUPPOSED, Hypothesis, together
from stylexport.parity.explain.hypotheses.input_hypotheses import input_hypotheses
from stylexport.parity.explain.hypotheses.output_hypotheses import output_hypotheses
from stylexport.parity.explain.hypotheses.reduced import DEAR, cost, reduced
from stylexport.parity.explain.hypotheses.tensors import differing, own_tensors
from stylexport.parity.explain.hypotheses.unseen import unseen_hypotheses
from stylexport.parity.explain.hypotheses.weight_hypotheses import weight_hypotheses
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.result import Fault, Tried
from stylexport.parity.verdict import EXACT

RIVALS = 8  # others that are tried once the cause is found, for the runner-up
BEAM = 8  # singles that are combined with all others
FIT = 12  # experiments that fitting one number takes, about
# Multiplications that the experiments on one layer may cost, and bounds on their number: about ten seconds on two cores.
EFFORT, FEWEST, MOST = 1e11, 16, 800

Item = Hypothesis | Break
Trials = list[tuple[float, Item]]


@dataclass
class Search:
    """Experiments on one layer, of which `left` more may be made. `wrong` is what a break of the code must give."""

    suspect: Suspect
    wrong: Tensor
    left: int
    tried: Trials = field(default_factory=list)

    def measure(self, item: Item) -> float:
        """The residual of one experiment, which is remembered."""
        self.left -= 1
        residual = item.residual(self.wrong) if isinstance(item, Break) else item.residual(self.suspect)
        self.tried.append((residual, item))
        return residual

    def first(self, items: Iterable[Item], price: int = 0) -> Item | None:
        """The first that reaches rounding; None where none does, or the experiments, of which making an item takes `price`, are used up."""
        items = iter(items)
        while self.left > 0:
            self.left -= price
            if (item := next(items, None)) is None:
                return None
            if self.measure(item) <= EXACT:
                return item
        return None

    def first_break(self, items: Iterable[Break]) -> Break | None:
        """The first break that errs as the port does. They are not counted: a plain form computes a few channels only."""
        return next((item for item in items if self.measure(item) <= EXACT), None)


@torch.no_grad()
def explain(suspect: Suspect) -> Fault:
    """The cause of a suspect layer's error. `unknown` where none is found. Values that are not finite do not stop it."""
    output, tried = _output(suspect), Trials()
    error = suspect.error(output)
    if error > EXACT:
        return _fault(suspect, tried, _of_the_layer(suspect, output, tried), error)
    return _fault(suspect, tried, _round_the_layer(suspect, tried), suspect.error(suspect.given))


@torch.no_grad()
def explain_briefly(suspect: Suspect, causes: Collection[str]) -> Fault | None:
    """The cause where the original's files show it or it is one of `causes`, without rivals; None where it is neither."""
    output, tried = _output(suspect), Trials()
    if not (error := suspect.error(output)) > EXACT:
        return None
    search = Search(suspect, output, FEWEST, tried)
    known = _singles(suspect, output, SEEN, SUPPOSED)
    shown = [item for item in known if item.evidence == SEEN]
    supposed = (item for item in known if item.evidence == SUPPOSED and item.cause in causes)
    found = search.first(shown) or search.first(_all_at_once(shown)) or search.first(supposed)
    return None if found is None else _fault(suspect, tried, found, error)


def _of_the_layer(suspect: Suspect, output: Tensor, tried: Trials) -> Item | None:
    """What is wrong with a layer that errs by itself: by sight, then by experiment on a small part of it."""
    whole = Search(suspect, output, FEWEST, tried)
    shown = _singles(suspect, output, SEEN, SEEN)
    found = whole.first(shown) or whole.first(_all_at_once(shown))
    if found is None and shown and (found := _with_the_rest(whole, _together(shown))) is not None:
        return found
    small = reduced(suspect, output)
    part = Search(small, _output(small), int(min(max(EFFORT / max(cost(small), 1.0), FEWEST), MOST)), tried)
    supposed = _singles(small, part.wrong, SUPPOSED, SUPPOSED)
    if found is None:
        code = part.first_break(breaks(small, part.wrong)) if cost(small) > DEAR else None  # a dear module's form is cheaper
        found = code or part.first(supposed) or _fitted(part) or _unseen(whole) or part.first(_pairs(part))
        found = found if found is None or small is suspect else _confirmed(whole, found)
    if isinstance(found, Hypothesis):
        _rivals(part, found, supposed)
    return found


def _fitted(search: Search) -> Item | None:
    """What the code does otherwise, and numbers that no one would have supposed."""
    suspect, wrong = search.suspect, search.wrong
    return (
        (None if cost(suspect) > DEAR else search.first_break(breaks(suspect, wrong)))
        or search.first(_singles(suspect, wrong, FITTED, FITTED))
        or search.first(fitted_hypotheses(suspect), FIT)
        or search.first_break(fitted_breaks(suspect, wrong))
    )


def _unseen(search: Search) -> Item | None:
    """Tensors that cannot be compared, because the original's are not known."""
    if search.suspect.weights:
        return None
    small = reduced(search.suspect, search.wrong, channels=False)
    return Search(small, search.wrong, MOST, search.tried).first(unseen_hypotheses(small))


def _with_the_rest(search: Search, shown: Hypothesis) -> Item | None:
    """What the files show is put right, as far as it helps; what is left is explained as a fault of its own, and both are told."""
    if shown.module is None or not search.measure(shown) < search.suspect.error(search.wrong):
        return None
    module = copy.deepcopy(search.suspect.module)
    shown.module(module)
    mended = replace(search.suspect, module=module, config=search.suspect.config)
    rest = _of_the_layer(mended, _output(mended), Trials())
    if not isinstance(rest, Hypothesis):
        return None
    pair = together(*sorted((shown, rest), key=lambda item: ORDER[item.cause]))
    return pair if search.measure(pair) <= EXACT else None


def _round_the_layer(suspect: Suspect, tried: Trials) -> Item | None:
    """A module that is right by itself in a network that gave something else: the code round it errs, and `given` is what it made."""
    if not suspect.error(suspect.given) > EXACT:
        return None
    outer = replace(suspect, call=lambda module, args, kwargs: suspect.given, module=nn.Identity(), args=(), kwargs={}, weights={})
    found = Search(outer, suspect.given, MOST, tried).first(_singles(outer, suspect.given, SEEN, FITTED))
    if found is None:
        search = Search(suspect, suspect.given, MOST, tried)
        found = search.first_break(breaks(suspect, suspect.given)) or search.first_break(fitted_breaks(suspect, suspect.given))
    return found


def _singles(suspect: Suspect, output: Tensor, least: int, most: int) -> list[Hypothesis]:
    """All single hypotheses of this strength of evidence, the most specific first."""
    found: list[Hypothesis] = []
    for make in (weight_hypotheses, attribute_hypotheses, input_hypotheses, lambda s: output_hypotheses(s, output)):
        try:
            found += make(suspect)
        except IMPOSSIBLE:
            continue  # a module that does not bear being looked at this way
    return sorted((item for item in found if least <= item.evidence <= most), key=lambda item: item.rank)


def _together(items: Sequence[Hypothesis]) -> Hypothesis:
    whole = items[0]
    for other in items[1:]:
        whole = together(whole, other)
    return whole


def _all_at_once(shown: Sequence[Hypothesis]) -> list[Hypothesis]:
    """Everything that the original's files show to be otherwise, put right together."""
    return [_together(shown)] if len(shown) > 1 else []


def _pairs(search: Search) -> Iterator[Hypothesis]:
    """The best few singles, each with every other."""
    singles = [(residual, n, item) for n, (residual, item) in enumerate(search.tried) if isinstance(item, Hypothesis)]
    best = [item for _, _, item in heapq.nsmallest(BEAM, singles, key=lambda entry: entry[:2])]
    for one in best:
        for _, _, other in singles:
            if other is not one:
                yield together(one, other) if one.rank <= other.rank else together(other, one)


def _rivals(search: Search, found: Item, supposed: Sequence[Hypothesis]) -> None:
    """Try some of the other causes, one of each first, for the runner-up."""
    tried = {id(item) for _, item in search.tried}
    others = [item for item in supposed if id(item) not in tried and item.cause != found.cause]
    first = list({item.cause: item for item in reversed(others)}.values())
    for item in (first + [item for item in others if item not in first])[: min(RIVALS, search.left)]:
        search.measure(item)


def _confirmed(search: Search, found: Item) -> Item | None:
    """What a part of the layer showed, measured on the whole of it; None where the whole says otherwise."""
    if isinstance(found, Break):
        suspect, wrong, cause, detail = search.suspect, search.wrong, found.cause, found.detail
        same = (item for item in breaks(suspect, wrong) if (item.cause, item.detail) == (cause, detail))
        fitted = (item for item in fitted_breaks(suspect, wrong) if item.cause == cause)
        return search.first_break(itertools.chain(same, fitted))
    return found if search.measure(found) <= EXACT else None


def _output(suspect: Suspect) -> Tensor:
    """The layer's output, or the given one where the module does not run."""
    try:
        return suspect.output()
    except IMPOSSIBLE:
        return suspect.given


# --- what is said ----------------------------------------------------------------------------------------------------------------------


def _fault(suspect: Suspect, tried: Trials, found: Item | None, error: float) -> Fault:
    """The cause, or the best that was found under the name `unknown`."""
    place = (suspect.network, suspect.layer)
    if found is None:
        closest = min((residual for residual, _ in tried), default=error)
        remedy = CAUSES["unknown"].remedy
        return Fault(*place, "unknown", _honest(suspect), remedy, error, min(closest, error), _runner_up(tried, "unknown"))
    residual = [residual for residual, item in tried if item is found][-1]
    advice = found.remedy if isinstance(found, Break) else found.advice
    return Fault(*place, found.cause, found.detail, advice, error, residual, _runner_up(tried, found.cause))


def _runner_up(tried: Trials, cause: str) -> Tried | None:
    """The best hypothesis of another cause. One that takes the original's tensors whole is no rival, because it is always right."""
    others = [(r, n) for n, (r, item) in enumerate(tried) if item.cause != cause and not getattr(item, "replaces", False)]
    if not others:
        return None
    residual, place = min(others)
    return Tried(tried[place][1].cause, residual, tried[place][1].detail)


def _honest(suspect: Suspect) -> str:
    """What is known of an error that nothing explains."""
    output = _output(suspect)
    wrong = output if suspect.error(output) > EXACT else suspect.given
    if not suspect.error(wrong) > EXACT:
        return "the error is at rounding: there is nothing to explain"
    if wrong.shape != suspect.expected.shape:
        return f"the output is {list(wrong.shape)}, the original's {list(suspect.expected.shape)}; no hypothesis explains it"
    bad = int((~wrong.isfinite()).sum())
    if bad:
        return f"{bad} of {wrong.numel()} values are not finite; no hypothesis explains it"
    parts = []
    if any(module.training for module in suspect.module.modules()):
        parts.append("the layer is in training mode: call eval()")
    if suspect.weights:
        names = differing(own_tensors(suspect.module), suspect.weights)
        parts.append(
            f"{', '.join(names)} differ from the original's, and not they alone"
            if names
            else "the layer's tensors are the original's: its code differs, or what stands between it and the layer before"
        )
    if wrong.ndim > 1:
        axes = [axis for axis in range(wrong.ndim) if axis != 1]
        channels = torch.linalg.vector_norm(wrong - suspect.expected, dim=axes)
        worst = int(channels.argmax())
        share = float((channels[worst] / torch.linalg.vector_norm(channels)).square())
        parts.append(f"output channel {worst} holds {share:.0%} of the squared error")
    return "; ".join(["no single hypothesis and no pair explains it", *parts])
