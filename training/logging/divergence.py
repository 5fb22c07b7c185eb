"""Stops training on NaN or infinity, or on collapse, with what was seen and what to try."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from stylexport.common.errors import StylexportError

REMEDY = (
    "the last checkpoint is from before. Try a smaller optimiser.learning_rate, run.precision=bf16 or fp32 in place of fp16, or a "
    "larger losses.r1, and --resume"
)
# A window shows a collapse where the reconstructions' commonest answer has at least this share, and the images' commonest less.
ONE_ANSWER, NOT_ONE = 0.99, 0.95
# By such a share a loss must fall to count as getting better.
BETTER = 0.01


class Stopped(StylexportError):
    """A run that would not get better.

    Example:
        >>> str(Stopped("step 50: image_l1 became nan"))
        'step 50: image_l1 became nan'

    """

    exit_code = 1


@dataclass
class Divergence:
    """Checks the means of each `window` steps. `blank_l1` is the L1 error of the best single image for all (their median).

    `stuck` counts, for each symptom, for how many consecutive steps it has been there; `best_l1` is the L1 error that last counted as
    better. A run is stopped after `after` steps with a symptom (0: never).

    Example:
        >>> watched = Divergence(after=100, blank_l1=0.2)
        >>> watched.check(50, 50, {"image_l1": float("nan")})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        stylexport.training.logging.divergence.Stopped: step 50: image_l1 became nan; the last checkpoint is from before. Try ...

    """

    after: int
    blank_l1: float
    stuck: dict[str, int] = field(default_factory=dict)
    best_l1: float | None = None

    def check(self, step: int, window: int, means: Mapping[str, float]) -> None:
        """Raises Stopped for NaN or infinity, or for a symptom that has lasted `after` steps."""
        wrong = sorted(name for name, value in means.items() if not math.isfinite(value))
        if wrong:
            raise Stopped(f"step {step}: {', '.join(wrong)} became {means[wrong[0]]}; {REMEDY}")
        for name, there in self._symptoms(means).items():
            self.stuck[name] = self.stuck.get(name, 0) + window if there else 0
            if self.after and self.stuck[name] >= self.after:
                why = self._description(name, means)
                raise Stopped(f"step {step}: for {self.stuck[name]} steps {why}. run.stuck_after=0 goes on all the same")

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"stuck": self.stuck, "best_l1": self.best_l1}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state` returned."""
        self.stuck, self.best_l1 = dict(state["stuck"]), state["best_l1"]

    def _symptoms(self, means: Mapping[str, float]) -> dict[str, bool]:
        if "image_l1" not in means:
            return {}
        one = means["one_answer"] >= ONE_ANSWER and means["commonest_answer"] < NOT_ONE
        l1, best = means["image_l1"], self.best_l1
        better = best is None or l1 < (1 - BETTER) * best  # slow, but getting there
        if better:
            self.best_l1 = l1
        return {"classifier": one, "reconstruction": l1 >= self.blank_l1 and not better}

    def _description(self, name: str, means: Mapping[str, float]) -> str:
        if name == "classifier":
            return (
                f"the classifier has given {means['one_answer']:.0%} of the reconstructions one answer, and only "
                f"{means['commonest_answer']:.0%} of the images: the reconstructions have collapsed into one class. Try a larger "
                f"losses.agreement or losses.image_l1, a smaller losses.adversarial_weight or optimiser.discriminator_rate, and see "
                f"that the classifier's preprocessing is right"
            )
        return (
            f"the reconstructions' L1 error, {means['image_l1']:.3f}, has been no better than that of one image for all "
            f"({self.blank_l1:.3f}) and has not fallen. Try a larger losses.image_l1, a smaller optimiser.learning_rate, or a longer w "
            f"(model.latent)"
        )


def check_weights(networks: Mapping[str, nn.Module], step: int) -> None:
    """Raises Stopped where the last update left a network with NaN or infinity, before that is saved."""
    for name, network in networks.items():
        if not all(bool(parameter.isfinite().all()) for parameter in network.parameters()):
            raise Stopped(f"step {step}: the {name}'s weights are not finite any more; {REMEDY}")
