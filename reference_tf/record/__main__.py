"""`stylexport record` for programs: python -m stylexport.reference_tf.record RELEASE... -o FILE [--seed N] ...

Prints JSON lines on standard output: {"network", "done", "total"} as it goes, and at the end a summary with "recording", or "error" and
"exit_code" (docs/recording.md).
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stylexport.common.errors import BadInput, StylexportError, machine_refuses
from stylexport.reference_tf.record.record_release import record, summary

EXIT_OWN_FAULT = 70  # sysexits.h: EX_SOFTWARE


def main(arguments: Sequence[str] | None = None) -> int:
    """The command for programs. Returns the exit code."""
    parser = argparse.ArgumentParser("python -m stylexport.reference_tf.record", description="Record a release; progress as JSON lines.")
    parser.add_argument("release", nargs="+")
    parser.add_argument("-o", "--output", dest="out", type=Path, required=True)
    parser.add_argument("--inputs", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--latents", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--store", type=int)
    parser.add_argument("--mapping", type=Path)
    parser.add_argument("--network", dest="networks", action="append", default=[])
    parser.add_argument("--averages", action="store_true")
    chosen = parser.parse_args(arguments)
    try:
        found = record(**vars(chosen), progress=lambda network, done, total: _say(network=network, done=done, total=total))
    except StylexportError as error:
        _say(error=str(error), exit_code=error.exit_code)
        return error.exit_code
    except Exception as error:
        if (refused := machine_refuses(error)) is not None:
            _say(error=refused, exit_code=BadInput.exit_code)
            return BadInput.exit_code
        traceback.print_exc()  # a mistake of ours: Python's own exit code for it is 1, which would mean that a check failed
        return EXIT_OWN_FAULT
    _say(**summary(found))
    return 0


def _say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    sys.exit(main())
