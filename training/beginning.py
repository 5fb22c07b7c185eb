"""What a run began with: the converted folder of `--from`, known by its networks' digests wherever it lies later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stylexport.common.digests import sha256
from stylexport.common.errors import BadInput
from stylexport.common.json_files import read_index
from stylexport.torch_models.pretrained import CONFIG, WEIGHTS


def began_from(release: Path | None) -> dict[str, Any] | None:
    """The record of `--from`: its folder, and of each network the sha256 of both files. Raises BadInput where it is no converted folder."""
    if release is None:
        return None
    if not release.is_dir():
        raise BadInput(f"{release}: no such folder; --from names one that `stylexport convert` wrote")
    places = {name: release / str(place) for name, place in (read_index(release).get("networks") or {}).items()}
    files = {f"{name}/{file}": place / file for name, place in places.items() for file in (CONFIG, WEIGHTS)}
    return {"folder": str(release), "sha256": {name: sha256(path) for name, path in files.items() if path.is_file()}}


def check_release(out: Path, release: Path | None, facts: Mapping[str, Any]) -> None:
    """Raises BadInput where a run that is resumed is given another `--from` than it began with; it need not be given one."""
    before = facts.get("began_from", {})
    if release is None or before == {}:  # checkpoints of earlier versions do not say
        return
    if before is None:
        raise BadInput(f"{out}: began without --from and goes on so; leave --from out, or begin in a new folder")
    if not release.is_dir():
        raise BadInput(f"{release}: no such folder; leave --from out: {out} has what it began with")
    now = began_from(release)
    if now is not None and now["sha256"] != before["sha256"]:
        raise BadInput(
            f"{out}: began from {before['folder']}, and {release} holds other networks; leave --from out, or begin in a new folder"
        )


def check_classifier(out: Path, before: Mapping[str, Any], now: Mapping[str, Any], overrides: Sequence[str]) -> str | None:
    """What to say where a run goes on with another classifier than before because `overrides` name it; None where it is the same.

    `before` is the last checkpoint's stylex.json, `now` the classifier's record. Raises BadInput where nobody asked for another.
    """
    trained = before.get("trained")
    known = trained.get("classifier") if isinstance(trained, dict) else None
    if not isinstance(known, dict) or known.get("sha256") in (None, now["sha256"]):
        return None
    if any(text.startswith("classifier.") for text in overrides):
        return f"{now['weights'] or now['spec']} is another classifier than {known.get('weights') or known.get('spec')} so far"
    raise BadInput(
        f"{out}: was trained against a classifier of other weights than {now['weights'] or now['spec']} now has; "
        "put those back, or name another by classifier.spec=... or classifier.weights=FILE"
    )
