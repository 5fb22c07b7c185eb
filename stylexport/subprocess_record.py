"""Recording in a separate process: TensorFlow and PyTorch need not share one, and its memory is given back when it ends.

The process imports nothing of the working directory, where a folder of the user's may have the name of a package that TensorFlow needs. It
ends when this process does, however that ends: its standard input is a pipe from here, and nothing but the end of it ever comes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from stylexport.common.errors import BadInput, IncompleteCoverage
from stylexport.common.locks import temporary_folder
from stylexport.common.types import Progress
from stylexport.console import TENSORFLOW_SETTINGS, is_own, missing
from stylexport.torch_models.kinds import KINDS

_PROGRAM = "import sys; from stylexport.subprocess_record import _child; sys.exit(_child())"
# What comes before a program: sys.path as in the parent, whose own is put in, without what Python adds for the working directory alone.
_BEGINNING = """import sys
own = sys.path[sys.path[:1] == [""]:]
sys.path[:] = [path for path in {paths!a} if path in own or path not in {here!a}]
"""
# What the machine or a user ends a process with. Any other signal is a crash, of TensorFlow's or ours.
_KILLED = tuple(-number for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP))


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
        try:
            record_in_subprocess(release, file, options, progress)
            yield file
        except BadInput as error:
            if own := _own_kinds():
                raise BadInput(f"{error}; {own}") from error
            raise


def record_in_subprocess(
    release: Sequence[str | os.PathLike[str]], out: Path, options: Sequence[str] = (), progress: Progress | None = None
) -> None:
    """Writes a recording of the release to `out`; `options` are those of `python -m stylexport.reference_tf.record`.

    `progress(network, nodes done, nodes in all)`. Raises the error that the recorder reports (BadInput, IncompleteCoverage), BadInput
    where TensorFlow is not installed or the process was killed, and RuntimeError, with its traceback, for a fault of our own.
    """
    command = python_command(_PROGRAM, "-o", out, *options, "--", *release)
    settings = {**os.environ, **TENSORFLOW_SETTINGS, "CUDA_VISIBLE_DEVICES": "-1"}
    error: str | None = None
    # Not a pipe: one that nobody reads would stop the process when it is full.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace") as log:
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
    if code in _KILLED:
        raise BadInput(f"recording was killed by signal {-code}; where memory is short, take fewer --samples")
    raise RuntimeError(f"recording stopped with exit code {code}:\n{stderr}")


def _own_kinds() -> str:
    """What to do about networks that only this program knows, where it knows some."""
    own = [name for name, kind in KINDS.items() if not kind.config.__module__.startswith("stylexport.")]
    return f"this program alone knows {', '.join(own)}: record here by stylexport.record, and give the file as `against`" if own else ""


def python_command(program: str, *arguments: str | os.PathLike[str]) -> list[str]:
    r"""The command that runs a Python program, which finds `arguments` in sys.argv[1:] and imports nothing of the working directory.

    PYTHONPATH and what a program has added to sys.path hold as in this process, the working directory too if PYTHONPATH names it.

    Example:
        >>> import subprocess
        >>> subprocess.run(python_command("import sys; print(sys.argv[1:])", "a"), capture_output=True, text=True).stdout
        "['a']\n"

    """
    working = os.path.realpath(os.curdir)
    here = [path for path in sys.path if os.path.realpath(path) == working]
    return [sys.executable, "-c", _BEGINNING.format(paths=sys.path, here=here) + program, *(os.fspath(argument) for argument in arguments)]


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
