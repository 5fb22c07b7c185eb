"""Which tensors of the original the port answers for: each declared one must have a layer, and each call of a layer its call."""

from __future__ import annotations

from collections.abc import Collection

from stylexport.common.text import counted
from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.compare.comparison import OUTPUT, Comparison, Layerwise


def missing(comparison: Comparison, layerwise: Layerwise) -> list[RecordedTap]:
    """Declared tensors of the original that no layer of the port answers for.

    For a tensor that the network itself holds, or a module with other layers in it, its own values answer: no module's output shows where
    it goes in, and the layers behind are wrong where it does not.
    """
    matched = {match.tap.tensor for layer in layerwise.calls for match in layerwise.matches(layer)} | layerwise.in_code
    by_values = {layer for layer in comparison.taps if comparison.is_variable(layer) and layerwise.matches(layer)}
    by_values |= {layer for layer in comparison.taps if comparison.holds_layers(layer) and comparison.original.layer_weights(layer)}
    by_values |= {layer for layer in layerwise.calls if any(match.reordered for match in layerwise.matches(layer))}
    declared = [tap for tap in comparison.original.network.taps if tap.declared and tap.layer not in by_values]
    return [tap for tap in declared if not _answered(comparison, tap, matched)]


def _answered(comparison: Comparison, tap: RecordedTap, matched: Collection[str]) -> bool:
    """Whether a layer answers for a tap, for another stage of the same call, or for a call that gave the same values."""
    if tap.tensor in matched or tap.stage == OUTPUT:
        return tap.tensor in matched
    calls = comparison.calls.get(tap.layer, [])
    own = next((call for call in calls if tap in call), [])
    same = [other for call in calls for other in call if other.stage == tap.stage and comparison.original.same_values(tap, other)]
    return any(other.tensor in matched for other in (*own, *same))


def name_of(comparison: Comparison, tap: RecordedTap) -> str:
    """What a tensor without a layer is called; of a layer that runs more than once, with its call."""
    if tap.stage == OUTPUT:
        return comparison.output_layer(next((name for name, other in comparison.output_taps.items() if other is tap), ""))
    if not tap.layer:
        return tap.tf or tap.node
    calls = comparison.calls[tap.layer]
    number = next((i for i, call in enumerate(calls, 1) if tap in call), 1)
    return tap.layer if len(calls) == 1 else f"{tap.layer}, call {number} of {len(calls)}"


def other_numbers_of_calls(comparison: Comparison, layerwise: Layerwise) -> dict[str, str]:
    """Layer -> a sentence, for the layers whose calls are more, fewer or others than the original's, and where that shows.

    It does not where each value of either side is one of the other's: a layer that runs twice on the same input gives the same.
    """
    without = {tap.layer: name_of(comparison, tap) for tap in reversed(missing(comparison, layerwise))}
    found = {}
    for layer, calls in comparison.calls.items():
        ours, network = layerwise.calls.get(layer, ()), comparison.port.network
        if not ours or comparison.is_variable(layer):
            continue
        if len(ours) != len(calls) and (layer in without or None in ours):
            times, theirs = counted(len(ours), "time"), counted(len(calls), "time")
            found[layer] = f"{network}: {layer} runs {times} in the port and {theirs} in the original"
        elif len(ours) == len(calls) > 1 and layer in without and None not in ours:
            found[layer] = (
                f"{network}: no call in the port gives what the original's gives as {without[layer]}; another call gives its value twice"
            )
    return found
