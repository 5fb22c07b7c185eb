"""What a TensorFlow file or folder holds: the facts that `stylexport inspect` prints."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

from stylexport.common.errors import BadInput, DamagedFile, HostileFile, MappingError
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.registry import DATA_FORMATS, open_all
from stylexport.converter.formats.tar_archive import shown
from stylexport.converter.mapping.recognise import recognise


def inspect(source: str | Path) -> dict[str, Any]:
    """What the artefact at `source` holds, as values for JSON. Every tensor is read, and every checksum that its format has is verified.

    Keys: path, format, versions, files, checksums, variables (name, key, shape, dtype, bytes, checksum, slot), totals, network (the first
    that is recognised, or None), networks (network, config, facts, remarks), unrecognised (network -> why not), notes. Of a folder or zip
    that holds several artefacts: {"path", "artefacts": [...]}. Raises BadInput where nothing is recognised, DamagedFile, HostileFile.

    Example:
        >>> from stylexport import inspect
        >>> from stylexport.checkpoints import EMBEDDED
        >>> found = inspect(EMBEDDED / "encoder.savedmodel.zip")
        >>> found["format"], found["network"], found["totals"]["variables"]
        ('savedmodel', 'encoder', 23)

    """
    with contextlib.ExitStack() as opened:
        artefacts = open_all(source)
        for artefact in artefacts:
            opened.callback(artefact.close)
        described = [_describe(artefact) for artefact in artefacts]
    return described[0] if len(described) == 1 else {"path": str(source), "artefacts": described}


def _describe(artefact: Artefact) -> dict[str, Any]:
    readable = [v for v in artefact.variables if not v.dtype.startswith("dtype")]
    unread = []
    for variable in readable:
        try:
            artefact.read(variable)
        except (DamagedFile, HostileFile):
            raise
        except BadInput as error:  # undamaged, but stored in a way that is not read: listed all the same
            unread.append(str(error))
    artefact.finish()
    facts = artefact.facts
    own = [v for v in artefact.variables if v.slot is None]
    try:
        networks, why_not = ([], {}) if artefact.format in DATA_FORMATS else recognise(artefact)
    except MappingError as error:
        networks, why_not = [], {"network": str(error)}
    return {
        "path": str(shown(artefact.path)),
        "format": artefact.format,
        "versions": dict(facts.versions),
        "files": [{"name": name, "bytes": size} for name, size in facts.files.items()],
        "checksums": {"verified": not facts.verified.startswith("nothing"), "what": facts.verified},
        "variables": [
            {
                "name": v.name,
                "key": v.key,
                "shape": list(v.shape),
                "dtype": v.dtype,
                "bytes": v.nbytes,
                "checksum": v.checksum,
                "slot": v.slot,
            }
            for v in artefact.variables
        ],
        "totals": {
            "variables": len(own),
            "slots": len(artefact.variables) - len(own),
            "parameters": sum(math.prod(v.shape) for v in own),
            "bytes": sum(v.nbytes for v in artefact.variables),
        },
        "network": networks[0].network if networks else None,
        "networks": [
            {
                "network": n.network,
                "config": n.config.to_json(),
                "facts": [{"field": f.field, "value": f.value, "from": f.source} for f in n.facts],
                "remarks": list(n.remarks),
            }
            for n in networks
        ],
        "unrecognised": why_not,
        "notes": [*facts.notes, *unread],
    }
