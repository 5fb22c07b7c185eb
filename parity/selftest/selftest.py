"""Mutation test of the verifier: one fault at a time is put into a copy of the port; each must be detected, located and named."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stylexport.common.errors import BadInput
from stylexport.common.types import Progress
from stylexport.converter.output.recording import Recording
from stylexport.parity.compare.comparison import Comparison, NetworkResult
from stylexport.parity.compare.verify_network import verify_network
from stylexport.parity.explain.search import explain
from stylexport.parity.open_ports import converted_ports
from stylexport.parity.original import Original
from stylexport.parity.ports import known_port
from stylexport.parity.selftest.injections import Injection, injections
from stylexport.parity.verdict import PASS

LEAST_CAUSES = 0.9  # the share of causes that must be named


@dataclass(frozen=True)
class Trial:
    """An injected fault and what the proof said: whether it saw one, at which layer first, of which cause, with which residual."""

    injection: Injection
    detected: bool
    layer: str | None
    cause: str | None
    residual: float | None

    @property
    def placed(self) -> bool:
        """Whether the layer named first is the one at fault."""
        return self.layer == self.injection.layer

    @property
    def named(self) -> bool:
        """Whether the cause is the one that was injected."""
        return self.placed and self.cause == self.injection.cause


@dataclass(frozen=True)
class Selftest:
    """All trials. `false_alarms` are networks whose clean port did not pass."""

    trials: tuple[Trial, ...]
    false_alarms: tuple[str, ...]

    def share(self, of: Callable[[Trial], bool]) -> float:
        """The share of trials of which `of` holds."""
        return sum(map(of, self.trials)) / len(self.trials) if self.trials else 0.0

    @property
    def passed(self) -> bool:
        """All detected, all placed, 90 % named, no false alarm."""
        found = self.share(lambda t: t.detected) == self.share(lambda t: t.placed) == 1.0
        return found and self.share(lambda t: t.named) >= LEAST_CAUSES and not self.false_alarms

    def by_cause(self) -> dict[str, list[Trial]]:
        """The trials of each cause."""
        found: dict[str, list[Trial]] = {}
        for trial in self.trials:
            found.setdefault(trial.injection.cause, []).append(trial)
        return found

    def to_json(self) -> dict[str, Any]:
        """JSON-ready: the three shares, the trials."""
        return {
            "passed": self.passed,
            "faults": len(self.trials),
            "detected": self.share(lambda t: t.detected),
            "layer_named": self.share(lambda t: t.placed),
            "cause_named": self.share(lambda t: t.named),
            "false_alarms": list(self.false_alarms),
            "trials": [
                {
                    **{key: getattr(trial.injection, key) for key in ("network", "layer", "cause", "what")},
                    "detected": trial.detected,
                    "found_layer": trial.layer,
                    "found_cause": trial.cause,
                    "residual": trial.residual,
                }
                for trial in self.trials
            ],
        }


def selftest(
    converted: Path, recording: Path, *, only: Collection[str] = (), device: str = "cpu", progress: Progress | None = None
) -> Selftest:
    """Injects every fault that applies to the recorded networks, or to those that `only` names. Raises BadInput as `verify` does."""
    opened = Recording(recording)
    ports, _ = converted_ports(converted)
    networks = [network for name, network in opened.networks.items() if name in ports and (not only or name in only)]
    if not networks:
        raise BadInput(f"{recording}: records none of the networks in {converted}{' called ' + ', '.join(only) if only else ''}")
    alarms, plan = [], []
    for network in networks:
        port = ports[network.network]
        clean = verify_network(Comparison(port, Original(opened, network, torch.device(device)), explain))
        if clean.faults or clean.unmatched or any(layer.verdict != PASS for layer in clean.layers):
            alarms.append(network.network)
        plan += [(network, port, injection) for injection in injections(network.network, port.module)]
    trials = []
    for i, (network, port, injection) in enumerate(plan):
        if progress:
            progress(f"{injection.network} {injection.layer}", i, len(plan))
        broken = known_port(injection.into(port.module))
        result = verify_network(Comparison(broken, Original(opened, network, torch.device(device)), explain))
        trials.append(_trial(injection, result))
    if progress:
        progress("", len(plan), len(plan))
    return Selftest(tuple(trials), tuple(alarms))


def _trial(injection: Injection, result: NetworkResult) -> Trial:
    first = result.faults[0] if result.faults else None
    detected = first is not None or any(layer.verdict != PASS for layer in result.layers)
    if first is None:
        return Trial(injection, detected, None, None, None)
    return Trial(injection, detected, first.layer, first.cause, first.residual)
