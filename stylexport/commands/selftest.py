"""`stylexport selftest`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylexport.console import json_option, print_json, say, steps_progress, verbose_option

if TYPE_CHECKING:
    from stylexport.parity.selftest.selftest import Selftest

_PATH = click.Path(path_type=Path)


@click.command("selftest")
@click.argument("converted", type=_PATH)
@click.option("--release", "releases", multiple=True, metavar="PATH", help="The release that it was converted from: recorded first.")
@click.option("--against", "recording", type=_PATH, metavar="FILE", help="A recording of it, instead of the release.")
@click.option("--network", "networks", multiple=True, metavar="NAME", help="Test this network only; may be repeated.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random inputs, with --release.")
@json_option
@verbose_option
def command(
    converted: Path, releases: tuple[str, ...], recording: Path | None, networks: tuple[str, ...], device: str, seed: int, as_json: bool
) -> None:
    """Test the proof: put faults into a copy of the CONVERTED networks, one at a time, and see what `verify` says of each.

    Exit code 1 where a fault was not found, a layer not named, fewer than 90 % of the causes named, or a clean network did not pass.
    """
    if (recording is None) == (not releases):
        raise click.UsageError("name the release by --release PATH, or a recording by --against FILE")
    from stylexport.verification import selftest

    with steps_progress() as progress:
        found = selftest(converted, against=recording, release=releases, networks=networks, device=device, seed=seed, progress=progress)
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)
    sys.exit(0 if found.passed else 1)


def _print(found: Selftest) -> None:
    say(f"{'cause':26}{'faults':>7}{'detected':>10}{'layer':>8}{'cause':>8}")
    for cause, trials in found.by_cause().items():
        counts = (sum(t.detected for t in trials), sum(t.placed for t in trials), sum(t.named for t in trials))
        say(f"{cause:26}{len(trials):7}{counts[0]:10}{counts[1]:8}{counts[2]:8}")
    for trial in found.trials:
        if not trial.named:
            injected = trial.injection
            found_cause = f"{trial.cause} at {trial.layer}" if trial.detected else "nothing"
            say(f"  {injected.network} {injected.layer}: {injected.cause} ({injected.what}); found {found_cause}")
    for network in found.false_alarms:
        say(f"  FALSE ALARM: the clean {network} does not pass")
    shares = [found.share(lambda t: t.detected), found.share(lambda t: t.placed), found.share(lambda t: t.named)]
    say(
        f"{len(found.trials)} faults: {shares[0]:.1%} detected, the layer named in {shares[1]:.1%}, the cause in {shares[2]:.1%}; "
        f"{len(found.false_alarms)} false alarms"
    )
