"""The endless order of samples follows from seed and position alone."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from stylexport.training.data.sampler import EndlessSampler


def keys(count: int, *arguments: int, flip: bool = False) -> list[object]:
    return list(islice(EndlessSampler(*arguments, flip=flip), count))


def test_each_epoch_is_a_permutation_of_its_own() -> None:
    first, second = keys(14, 7, 3)[:7], keys(14, 7, 3)[7:]
    assert sorted(map(str, first)) == sorted(map(str, second)) == list("0123456")
    assert first != second


def test_another_seed_is_another_order() -> None:
    assert keys(7, 7, 3) != keys(7, 7, 4)


def test_a_start_skips_what_was_seen_and_changes_nothing_after_it() -> None:
    assert keys(10, 7, 3, 0, 1, 16, flip=True) == keys(26, 7, 3, flip=True)[16:]


def test_processes_take_turns_in_the_one_order() -> None:
    assert [key for pair in zip(keys(9, 7, 3, 0, 2), keys(9, 7, 3, 1, 2), strict=True) for key in pair] == keys(18, 7, 3)


def test_a_run_goes_on_with_another_number_of_processes() -> None:
    alone = keys(24, 7, 3)
    assert [keys(4, 7, 3, rank, 3, 12) for rank in range(3)] == [alone[12 + rank :: 3] for rank in range(3)]


def test_half_of_the_images_are_mirrored_and_others_in_another_epoch() -> None:
    found = [flipped for _, flipped in islice(EndlessSampler(1000, 3, flip=True), 2000)]  # type: ignore[misc]
    assert 450 < sum(found[:1000]) < 550
    assert found[:1000] != found[1000:]


class Numbers(Dataset[int]):
    def __len__(self) -> int:
        return 5

    def __getitem__(self, key: int) -> int:
        return 10 * key


def test_workers_keep_the_order() -> None:
    loader = DataLoader(Numbers(), 3, sampler=EndlessSampler(5, 3), num_workers=2)
    found = torch.cat(list(islice(loader, 4))).tolist()
    assert found == [10 * key for key in keys(12, 5, 3)]  # type: ignore[operator]


def test_a_process_that_is_none_of_the_world_is_refused() -> None:
    with pytest.raises(ValueError, match="process 2 of 2"):
        EndlessSampler(5, 0, rank=2, world=2)
