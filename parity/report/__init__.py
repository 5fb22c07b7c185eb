"""A report on disk and in the terminal: report.json for programs, junit.xml for continuous integration, index.html for people."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from stylexport.common.errors import BadInput
from stylexport.converter.output.ledger import TOOL
from stylexport.parity.report import json_report, junit, page
from stylexport.parity.report.json_report import SCHEMA, to_json
from stylexport.parity.report.tree import print_tree
from stylexport.parity.result import Report

__all__ = ["SCHEMA", "print_tree", "to_json", "write"]

# The mark comes last: where report.json is new, the others are too.
FILES = {"index.html": page.write, "junit.xml": junit.write, "report.json": json_report.write}
_PARTIAL = ".stylexport.partial"


def write(report: Report, folder: Path) -> None:
    """Writes the report's files into `folder`, which is made where it is absent, and replaces an older report there.

    What else the folder holds stays. Raises BadInput where a file of these names is not a report's, or nothing can be written.
    """
    _refuse_others(folder)
    stage = folder / _PARTIAL
    try:
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
        for name, write_file in FILES.items():
            write_file(report, stage / name)
        for name in FILES:
            (stage / name).replace(folder / name)
    except OSError as error:
        if error.errno is None:  # not the file system's: a mistake of ours, such as a template that is not installed
            raise
        raise BadInput(f"{folder}: cannot be written ({error.strerror}); name a folder where you may write") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _refuse_others(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: is a file; name a folder for the report")
    taken = [name for name in FILES if (folder / name).exists()]
    if taken and not _is_report(folder / "report.json"):
        raise BadInput(f"{folder}: holds {' and '.join(taken)} of something else than a report; name another folder")


def _is_report(path: Path) -> bool:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return bool(values["tool"]["name"] == TOOL["name"] and "verdict" in values)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
