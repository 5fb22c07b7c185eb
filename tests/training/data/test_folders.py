"""Folders of pictures, with subfolders or a table for labels, are resized once and split by a seed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylexport.common.errors import BadInput
from stylexport.training.data import cache
from stylexport.training.data.folder import folder_pictures
from stylexport.training.data.labelled import labelled_pictures
from stylexport.training.data.open import DataConfig, open_data
from stylexport.training.data.split import split


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "stylexport" / "images"


def picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cats and four dogs, of one colour each: red is 10 times the number, green 7, blue 200."""
    for i, name in enumerate(["cat/a.png", "cat/deep/b.png", "dog/a.png", "dog/b.PNG", "dog/c.png", "dog/d.jpeg"]):
        picture(tmp_path / "pets" / name, (10 * i, 7, 200), (12, 8))
    return tmp_path / "pets"


def test_subfolders_name_the_labels(folder: Path) -> None:
    found = folder_pictures(folder)
    assert found.labels == ("cat", "dog")
    assert found.names[:2] == ("cat/a.png", "cat/deep/b.png")
    assert found.targets.tolist() == [0, 0, 1, 1, 1, 1]


def test_a_flat_folder_has_no_labels(folder: Path) -> None:
    data = open_data(DataConfig("folder", folder / "dog", resolution=8), "train")
    assert data.labels == ()
    assert data[0][1] == -1


def test_a_picture_beside_the_subfolders_is_named(folder: Path) -> None:
    picture(folder / "loose.png", (1, 2, 3))
    with pytest.raises(BadInput, match=r"loose\.png: lies beside the subfolders"):
        folder_pictures(folder)


def test_the_parts_share_nothing_and_hold_all(folder: Path) -> None:
    config = DataConfig("folder", folder, resolution=8, held_out=0.34, seed=5)
    red = [
        sorted(float(image[0, 0, 0]) for image, _ in map(open_data(config, p).__getitem__, range(n)))
        for p, n in [("train", 4), ("held_out", 2)]
    ]
    assert len({*red[0], *red[1]}) == 6
    assert [len(open_data(config, part)) for part in ("train", "held_out")] == [4, 2]


def test_a_picture_stays_in_its_part_when_others_come() -> None:
    few, many = [f"{i}.png" for i in range(100)], [f"{i}.png" for i in range(101)]
    before, after = ({names[row] for row in split(names, 0.2, 7)[1]} for names in (few, many))
    assert len(before) == len(after) == 20
    assert len(before & after) >= 19
    assert before != {few[row] for row in split(few, 0.2, 8)[1]}


@pytest.mark.parametrize(
    "text",
    ["dog/a.png,2\ncat/a.png,10\n", "label,file,who\n2,dog/a.png,x\n10,cat/a.png,y\n", "picture,age\ndog/a.png, 2\n\ncat/a.png,10\n"],
)
def test_a_table_labels_its_files_with_a_header_or_without(folder: Path, text: str) -> None:
    table = folder.parent / "labels.csv"
    table.write_text(text)
    found = labelled_pictures(folder, table)
    assert found.names == ("dog/a.png", "cat/a.png")
    assert found.labels == ("2", "10")
    assert found.targets.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dog/a.png,old\ndog/z.png,new\n", r"names 1 files that .* does not have: dog/z\.png"),
        ("dog/a.png,old\n../pets/dog/b.PNG,new\n", "does not have"),
        ("dog/a.png,old\ndog/a.png,new\n", r"names these files twice: dog/a\.png"),
        ("dog/a.png,old\ndog/b.PNG\n", r"row 2 has no file and label \('dog/b\.PNG'\)"),
        ("file,label\n", "holds no row"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(folder: Path, text: str, message: str) -> None:
    table = folder.parent / "labels.csv"
    table.write_text(text)
    with pytest.raises(BadInput, match=message):
        labelled_pictures(folder, table)


def test_pictures_are_resized_once(folder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[str, int, int]] = []
    first = cache.picture_store(folder_pictures(folder), 4, lambda *step: steps.append(step))
    monkeypatch.setattr(cache, "read_picture", None)
    again = cache.picture_store(folder_pictures(folder), 4)
    assert steps == [("resizing", 6, 6)]
    assert first.shape == (6, 3, 4, 4)
    assert isinstance(again, np.memmap)
    assert np.array_equal(first, again)
    assert first[2, :, 1, 1].tolist() == [20, 7, 200]


def test_a_changed_picture_is_resized_anew(folder: Path) -> None:
    before = cache.picture_store(folder_pictures(folder), 4)[2, 0, 0, 0]
    changed = picture(folder / "dog" / "a.png", (99, 7, 200), (12, 8))
    os.utime(changed, ns=(1, 1))
    assert [int(before), int(cache.picture_store(folder_pictures(folder), 4)[2, 0, 0, 0])] == [20, 99]


def test_a_cut_cache_is_made_again(folder: Path, own_cache: Path) -> None:
    before = np.array(cache.picture_store(folder_pictures(folder), 4))
    (path,) = own_cache.glob("*.npy")
    path.write_bytes(path.read_bytes()[:-10])
    assert np.array_equal(cache.picture_store(folder_pictures(folder), 4), before)


def test_processes_that_come_together_resize_the_pictures_once(folder: Path, own_cache: Path) -> None:
    made: list[int] = []

    def progress(what: str, done: int, total: int) -> None:
        made.append(done)

    threads = [threading.Thread(target=cache.picture_store, args=(folder_pictures(folder), 4, progress)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [6]  # all pictures, once
    assert len(list(own_cache.glob("*.npy"))) == 1


def test_all_damaged_pictures_are_named_and_nothing_is_left(folder: Path, own_cache: Path) -> None:
    for name in ("cat/a.png", "dog/c.png"):
        (folder / name).write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"pets: 2 files are not pictures that can be read: cat/a\.png, dog/c\.png; replace them"):
        cache.picture_store(folder_pictures(folder), 4)
    assert [path.suffix for path in own_cache.iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "film"}, r"data\.kind: 'film' is not one of mnist, folder, csv"),
        ({"digits": (8, 8)}, r"data\.digits"),
        ({"flip": True}, r"data\.flip: a mirrored digit is not a digit"),
        ({"kind": "folder", "held_out": 1.0}, r"data\.held_out: 1 is not between 0 and 1"),
        ({"limit": 0}, r"data\.limit"),
    ],
)
def test_settings_without_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        DataConfig(**settings)  # type: ignore[arg-type]


def test_what_is_not_given_or_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"data\.path: is not given; data\.kind folder needs it"):
        open_data(DataConfig("folder"), "train")
    with pytest.raises(BadInput, match=r"nowhere: no such folder; data\.path"):
        open_data(DataConfig("folder", tmp_path / "nowhere"), "train")
    with pytest.raises(BadInput, match=r"train-images-idx3-ubyte: no such file; give all of MNIST's four, or leave the folder out"):
        open_data(DataConfig("mnist", tmp_path), "train")


def test_a_lone_picture_leaves_nothing_to_train_on(tmp_path: Path) -> None:
    picture(tmp_path / "one" / "a.png", (1, 2, 3))
    with pytest.raises(BadInput, match="no image is left for the part train"):
        open_data(DataConfig("folder", tmp_path / "one", resolution=4), "train")
