"""A folder of pictures with a table of labels, as FFHQ's are: a CSV file with a row a picture, its file and its label."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path, PurePath

import numpy as np

from stylexport.common.errors import BadInput
from stylexport.common.pictures import SUFFIXES
from stylexport.common.text import listing
from stylexport.training.data.folder import Pictures

COLUMNS = ("file", "label")
SHOWN = 5


def labelled_pictures(folder: Path, table: Path) -> Pictures:
    """The pictures that the table names, in its order. Labels that are all whole numbers are in their order, names in the alphabet's.

    A first row that names no picture file is a header: the columns `file` and `label` are then found by name, else they are the first
    two. Pictures that the table does not name are left out. Raises BadInput, with the row, for a table that is not such a one.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; data.path names the folder that the files of {table} are in")
    rows = _rows(table)
    names = [name for name, _ in rows]
    if missing := [name for name in names if not _inside(folder, name)]:
        raise BadInput(
            f"{table}: names {len(missing)} files that {folder} does not have: {listing(missing, SHOWN)}; correct data.path or the table"
        )
    if len({*names}) < len(names):
        twice = [name for name, count in Counter(names).items() if count > 1]
        raise BadInput(f"{table}: names these files twice: {listing(twice, SHOWN)}; a picture has one label")
    found = {label for _, label in rows}
    labels = sorted(found, key=int) if all(_whole(label) for label in found) else sorted(found)
    place = {label: i for i, label in enumerate(labels)}
    return Pictures(folder, tuple(folder / name for name in names), np.array([place[label] for _, label in rows]), tuple(labels))


def _rows(table: Path) -> list[tuple[str, str]]:
    """(file, label) of each row that is not empty."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{table}: not a readable table ({error}); data.csv names a CSV file with the columns file, label") from error
    numbered = [(number, row) for number, row in enumerate(rows, 1) if any(row)]
    columns = (0, 1)
    if numbered and not any(Path(cell).suffix.lower() in SUFFIXES for cell in numbered[0][1]):
        header = [cell.lower() for cell in numbered.pop(0)[1]]
        columns = (header.index("file"), header.index("label")) if {*COLUMNS} <= {*header} else columns
    for number, row in numbered:
        if len(row) <= max(columns) or not all(row[column] for column in columns):
            raise BadInput(f"{table}: row {number} has no file and label ({', '.join(row)!r})")
    if not numbered:
        raise BadInput(f"{table}: holds no row with a picture's file and label")
    return [(row[columns[0]], row[columns[1]]) for _, row in numbered]


def _inside(folder: Path, name: str) -> bool:
    """Whether the folder has this file, and the name does not leave it."""
    path = PurePath(name)
    return not path.is_absolute() and ".." not in path.parts and (folder / path).is_file()


def _whole(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]+", text) is not None
