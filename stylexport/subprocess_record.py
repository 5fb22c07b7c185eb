"""Recording in a separate process: TensorFlow and PyTorch need not share one, and its memory is given back when it ends.

The process imports what this one imports: it gets this process's sys.path, and never the working directory in addition, where a folder of
the user's may have the name of a package that TensorFlow needs. It ends when this process does, however that ends: its standard input is a
pipe from here, and nothing but the end of it ever comes.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from stylexport.common.errors import BadInput, IncompleteCoverage
from stylexport.common.temporary import temporary_folder
from stylexport.common.types import Progress
from stylexport.console import TENSORFLOW_SETTINGS, is_own, missing

# `-P`, which leaves the working directory out of sys.path, came with Python 3.11.
_PROGRAM = (
    "import os, sys; sys.path[:] = sys.argv.pop(1).split(os.pathsep); from stylexport.subprocess_record import _child; sys.exit(_child())"
)


@contextlib.contextmanager
def recorded(
    against: str | os.PathLike[str] | None,
    release: Sequence[str | os.PathLike[str]],
    options: Sequence[str] = (),
    progress: Progress | None = None,
) -> Iterator[Path]:
    """The recording `against`, or else one made of the release with the recorder's `options`, which exists as long as the block runs."""
    if against is not None:
        yield Path(against)
        return
    with temporary_folder() as folder:
        file = folder / "recording.safetensors"
        record_in_subprocess(release, file, options, progress)
        yield file


def record_in_subprocess(
    release: Sequence[str | os.PathLike[str]], out: Path, options: Sequence[str] = (), progress: Progress | None = None
) -> None:
    """Writes a recording of the release to `out`; `options` are those of `python -m stylexport.reference_tf.record`.

    `progress(network, nodes done, nodes in all)`. Raises the error that the recorder reports (BadInput, IncompleteCoverage), BadInput
    where TensorFlow is not installed or the process was killed, and RuntimeError, with its traceback, for a fault of our own.
    """
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", _PROGRAM, paths, *(os.fspath(path) for path in release), "-o", str(out), *options]
    settings = {**os.environ, **TENSORFLOW_SETTINGS, "CUDA_VISIBLE_DEVICES": "-1"}
    error: str | None = None
    with tempfile.TemporaryFile("w+") as log:  # not a pipe: one that nobody reads would stop the process when it is full
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=settings) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    message = json.loads(line) if line.startswith("{") else {}
                    if "error" in message:
                        error = str(message["error"])
                    elif "done" in message and progress:
                        progress(message["network"], message["done"], message["total"])
                code = process.wait()
            finally:
                process.kill()
        log.seek(0)
        stderr = log.read().strip()
    if code == 0:
        return
    if error is not None:
        raise IncompleteCoverage(error) if code == IncompleteCoverage.exit_code else BadInput(error)
    if code < 0:
        raise BadInput(f"recording was killed by signal {-code}; where memory is short, take fewer --samples")
    raise RuntimeError(f"recording stopped with exit code {code}:\n{stderr}")


def _child() -> int:
    """What the process runs: the recorder, or one line that says what is missing."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        from stylexport.reference_tf.record.__main__ import main
    except ImportError as error:
        if is_own(error):
            raise
        print(json.dumps({"error": f"{missing('tensorflow', 'recording', error.name)}, or verify --against a recording"}))
        return BadInput.exit_code
    return main()


def _end_with_parent() -> None:
    """Waits for the end of standard input, which comes when the process that started this one is gone."""
    while os.read(0, 1):
        pass
    os._exit(1)
