"""Whether the tensors that a user gave are the inputs of the networks that are recorded: their names, and what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from stylexport.common.errors import BadInput
from stylexport.common.text import listing
from stylexport.converter.calls.calls import Feed
from stylexport.converter.calls.sources import Source
from stylexport.converter.calls.user_inputs import UserInputs
from stylexport.converter.output.safetensors_file import DTYPES

# A StylEx's inputs. Its networks use each other's: the classifier takes the generator's image, an encoder's file may hold z too.
STYLEX_INPUTS = ("z", "dlatent", "image", "probabilities")


def check_given(user: UserInputs, sources: Sequence[Source]) -> None:
    """Raises BadInput for a tensor that is no input of any network, for one that is missing, and for values that its input cannot take.

    Of a StylEx, whatever is missing is drawn; of any other network, all inputs are given or none.
    """
    if user.kind != "inputs":
        return
    feeds = {feed.name: feed for source in sources for feed in fed(source)}
    known = any(source.network is not None and source.network.kind is not None for source in sources)
    takes = listing([described(feed) for feed in feeds.values()], 8) if feeds else "nothing"
    if unknown := [name for name in user.tensors if name not in feeds and not (known and name in STYLEX_INPUTS)]:
        raise BadInput(f"--inputs: {listing(unknown)}: no input of this name; the graph takes {takes}")
    for source in sources:
        own = [feed.name for feed in fed(source)]
        missing = [name for name in own if name not in user.tensors]
        if missing and not (source.network and source.network.kind):
            raise BadInput(f"--inputs: {listing(missing)} is missing; the graph takes {takes}: give all of them, or none and a --seed")
    for name, feed in feeds.items():
        if name in user.tensors:
            _check_values(user, feed)


def fed(source: Source) -> Iterator[Feed]:
    """The inputs that a network's calls take from outside: not what an earlier call gave, and no switch."""
    made: set[str] = set()
    for call in source.procedure.calls:
        yield from (feed for feed in call.feeds if feed.name not in made and not feed.scalar)
        made |= set(call.gives)


def described(feed: Feed) -> str:
    """An input in words: its name, its shape as it is to be given, its dtype."""
    sizes = "?" if feed.shape is None else ", ".join("any" if size is None else str(size) for size in feed.shape)
    return f"{feed.name} [N, {sizes}] {feed.dtype}" if sizes else f"{feed.name} [N] {feed.dtype}"


def _check_values(user: UserInputs, feed: Feed) -> None:
    """Raises BadInput where a tensor holds numbers that the graph's integers or booleans are not."""
    if feed.dtype in DTYPES:
        return
    value = user.tensors[feed.name]
    if feed.dtype == "string":
        raise BadInput(f"--inputs: the graph takes text as {feed.name}; export a function of it that takes numbers")
    if (value != np.rint(value)).any():
        raise BadInput(
            f"--inputs: {feed.name} holds {value[value != np.rint(value)].flat[0]:g}; the graph takes {feed.dtype}, whole numbers"
        )
    low, high = (0, 1) if feed.dtype == "bool" else (int(np.iinfo(feed.dtype).min), int(np.iinfo(feed.dtype).max))
    if value.min() < low or value.max() > high:
        raise BadInput(f"--inputs: {feed.name} holds {value.min():g} to {value.max():g}; the graph takes {feed.dtype}, {low} to {high}")
