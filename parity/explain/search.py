"""The cause of a fault: each hypothesis puts one thing right at the layer, and the one that brings the error to rounding is the cause.

What the original's files show is tried first, then the common mistakes from the most specific on, then the layer's code against a plain
form of it, then numbers fitted to the activations. The runner-up is the best of the others, so that a reader sees how sure the answer is.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from stylexport.parity.explain.hypotheses.attribute_hypotheses import attribute_hypotheses
from stylexport.parity.explain.hypotheses.code_changes import CodeChange, code_changes
from stylexport.parity.explain.hypotheses.fitted import fitted_changes, fitted_hypotheses
from stylexport.parity.explain.hypotheses.hypothesis import FITTED, IMPOSSIBLE, SEEN, SUPPOSED, Hypothesis, tell_own_mistake, together
from stylexport.parity.explain.hypotheses.input_hypotheses import input_hypotheses
from stylexport.parity.explain.hypotheses.output_hypotheses import output_hypotheses
from stylexport.parity.explain.hypotheses.reduced import EXPENSIVE, cost, reduced
from stylexport.parity.explain.hypotheses.weight_hypotheses import weight_hypotheses
from stylexport.parity.explain.sequences.changes import sequence_changes
from stylexport.parity.explain.sequences.directions import direction_hypotheses
from stylexport.parity.explain.spatial.spatial_hypotheses import SPATIAL, spatial_hypotheses
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.explain.wording import Trials, fault_in_words
from stylexport.parity.result import Fault

RIVALS = 8  # others that are tried once the cause is found, for the runner-up
FIT = 12  # experiments that fitting one number takes, about
# Multiplications that the experiments on one layer may cost, and bounds on their number: about ten seconds on two cores.
EFFORT, FEWEST, MOST = 1e11, 16, 800

Item = Hypothesis | CodeChange


@dataclass
class Search:
    """Experiments on one layer, of which `left` more may be made. `wrong` is the output that a change of the code must give."""

    suspect: Suspect
    wrong: Tensor
    left: int
    tried: Trials = field(default_factory=list)

    def measure(self, item: Item) -> float:
        """The residual of one experiment, which is remembered."""
        self.left -= 1
        residual = item.residual(self.wrong) if isinstance(item, CodeChange) else item.residual(self.suspect)
        self.tried.append((residual, item))
        return residual

    def first(self, items: Iterable[Item], price: int = 0) -> Item | None:
        """The first that reaches rounding; None where none does, or the experiments, of which making an item takes `price`, are used up."""
        items = iter(items)
        while self.left > 0:
            self.left -= price
            if (item := next(items, None)) is None:
                return None
            if self.measure(item) <= self.suspect.allowed:
                return item
        return None

    def first_change(self, items: Iterable[CodeChange]) -> CodeChange | None:
        """The first change of the code that errs as the port does. They are not counted: a plain form computes a few channels only."""
        return next((item for item in items if self.measure(item) <= self.suspect.allowed), None)


@torch.no_grad()
def explain(suspect: Suspect) -> Fault:
    """The cause of a suspect layer's error. `unknown` where none is found. Values that are not finite do not stop it."""
    output, tried = _output(suspect), Trials()
    error = suspect.error(output)
    if error > suspect.allowed:
        return fault_in_words(suspect, output, tried, _cause_in_the_layer(suspect, output, tried), error)
    given_error = suspect.error(suspect.given)
    return fault_in_words(suspect, suspect.given, tried, _cause_around_the_layer(suspect, tried), given_error)


@torch.no_grad()
def explain_briefly(suspect: Suspect, causes: Collection[str]) -> Fault | None:
    """The cause where the original's files show it or it is one of `causes`, without rivals; None where it is neither."""
    output, tried = _output(suspect), Trials()
    if not (error := suspect.error(output)) > suspect.allowed:
        return None
    search = Search(suspect, output, FEWEST, tried)
    known = _singles(suspect, output, SEEN, SUPPOSED)
    shown = [item for item in known if item.evidence == SEEN]
    supposed = (item for item in known if item.evidence == SUPPOSED and item.cause in causes)
    found = search.first(shown) or search.first(_all_at_once(shown)) or search.first(supposed)
    if found is None and SPATIAL.intersection(causes):
        found = search.first(item for item in spatial_hypotheses(suspect) if item.cause in causes)
    return None if found is None else fault_in_words(suspect, output, tried, found, error)


def _cause_in_the_layer(suspect: Suspect, output: Tensor, tried: Trials) -> Item | None:
    """What is wrong with a layer that errs by itself: what the files show, then experiments on a small part of it."""
    whole = Search(suspect, output, FEWEST, tried)
    if (of_steps := whole.first_change(sequence_changes(suspect, output))) is not None:
        return of_steps
    if (of_directions := whole.first(direction_hypotheses(suspect))) is not None:
        return of_directions
    shown = _singles(suspect, output, SEEN, SEEN)
    found = whole.first(shown) or whole.first(_all_at_once(shown))
    small = reduced(suspect, output)
    part = Search(small, _output(small), int(min(max(EFFORT / max(cost(small), 1.0), FEWEST), MOST)), tried)
    supposed = _singles(small, part.wrong, SUPPOSED, SUPPOSED)
    if found is None:
        expensive = cost(small) > EXPENSIVE  # then its plain form, of which a few channels are computed, costs less than the module
        code = part.first_change(code_changes(small, part.wrong)) if expensive else None
        found = code or part.first(supposed) or part.first(spatial_hypotheses(small))
        found = found or (None if expensive else part.first_change(code_changes(small, part.wrong)))
        found = found or _fitted(part)
        found = found if found is None or small is suspect else _confirmed(whole, found)
    if isinstance(found, Hypothesis):
        _try_rivals(part, found, supposed)
    return found


def _fitted(search: Search) -> Item | None:
    """Numbers that no table of usual values holds."""
    suspect, wrong = search.suspect, search.wrong
    found = search.first(_singles(suspect, wrong, FITTED, FITTED)) or search.first(fitted_hypotheses(suspect), FIT)
    return found or search.first_change(fitted_changes(suspect, wrong))


def _cause_around_the_layer(suspect: Suspect, tried: Trials) -> Item | None:
    """A module that is right by itself in a network that gave something else: the code around it errs, and `given` is its output."""
    if not suspect.error(suspect.given) > suspect.allowed:
        return None
    outer = replace(suspect, call=lambda module, args, kwargs: suspect.given, module=nn.Identity().eval(), args=(), kwargs={}, weights={})
    found = Search(outer, suspect.given, MOST, tried).first(_singles(outer, suspect.given, SEEN, FITTED))
    if found is None:
        search = Search(suspect, suspect.given, MOST, tried)
        found = search.first_change(itertools.chain(code_changes(suspect, suspect.given), fitted_changes(suspect, suspect.given)))
    return found


def _singles(suspect: Suspect, output: Tensor, least: int, most: int) -> list[Hypothesis]:
    """All single hypotheses of this strength of evidence, the most specific first."""
    found: list[Hypothesis] = []
    for make in (weight_hypotheses, attribute_hypotheses, input_hypotheses, lambda s: output_hypotheses(s, output)):
        try:
            found += make(suspect)
        except IMPOSSIBLE as error:
            tell_own_mistake(error)  # else it is a module that these hypotheses do not fit
    return sorted((item for item in found if least <= item.evidence <= most), key=lambda item: item.rank)


def _all_at_once(shown: Sequence[Hypothesis]) -> list[Hypothesis]:
    """Everything that the original's files show to be otherwise, put right together."""
    if len(shown) < 2:
        return []
    whole = shown[0]
    for other in shown[1:]:
        whole = together(whole, other)
    return [whole]


def _try_rivals(search: Search, found: Item, supposed: Sequence[Hypothesis]) -> None:
    """Try some of the other causes, one of each first, for the runner-up."""
    tried = {id(item) for _, item in search.tried}
    others = [item for item in supposed if id(item) not in tried and item.cause != found.cause]
    first = list({item.cause: item for item in reversed(others)}.values())
    for item in (first + [item for item in others if item not in first])[: min(RIVALS, search.left)]:
        search.measure(item)


def _confirmed(search: Search, found: Item) -> Item | None:
    """What a part of the layer showed, measured on the whole of it; None where the whole disagrees."""
    if isinstance(found, CodeChange):
        suspect, wrong, cause, detail = search.suspect, search.wrong, found.cause, found.detail
        same = (item for item in code_changes(suspect, wrong) if (item.cause, item.detail) == (cause, detail))
        fitted = (item for item in fitted_changes(suspect, wrong) if item.cause == cause)
        return search.first_change(itertools.chain(same, fitted))
    return found if search.measure(found) <= search.suspect.allowed else None


def _output(suspect: Suspect) -> Tensor:
    """The layer's output, or the given one where the module does not run."""
    try:
        return suspect.output()
    except IMPOSSIBLE:
        return suspect.given
