"""Many faults in one port: the first are explained in full, those behind them by what the files show and the causes already found.

A wrong constant is a fault in every layer that has it, and the recording of another release one in every layer there is; a full search
for each would take minutes and say nothing new. The budget counts faults, not seconds, so that the same proof gives the same report.
"""

from __future__ import annotations

from stylexport.parity.explain.causes import CAUSES
from stylexport.parity.explain.search import explain, explain_briefly
from stylexport.parity.explain.suspect import Explain, Suspect
from stylexport.parity.result import Fault

FULL, MOST = 8, 24  # faults that are explained in full at once, and where nothing else explains them


def explainer(full: int = FULL, most: int = MOST) -> Explain:
    """Explains the faults of one port, one after another in the order in which they are met."""
    causes: dict[str, None] = {}
    spent = 0

    def explain_next(suspect: Suspect) -> Fault:
        nonlocal spent
        if spent >= full and (fault := explain_briefly(suspect, causes)) is not None:
            return fault
        if spent >= most:
            return _left_alone(suspect, most)
        spent += 1
        fault = explain(suspect)
        causes[fault.cause] = None
        return fault

    return explain_next


def _left_alone(suspect: Suspect, most: int) -> Fault:
    """A fault that no cause found so far explains, when enough were looked into."""
    error = suspect.error(suspect.given)
    looked = "1 fault was" if most == 1 else f"{most} faults were"
    detail = f"not looked into: {looked}, and no cause found there explains it; put those right first"
    return Fault(suspect.network, suspect.layer, "unknown", detail, CAUSES["unknown"].remedy, error, error)
