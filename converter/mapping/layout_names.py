"""What layouts are called: by a user's own table (docs/mapping.md), and by a ledger."""

from __future__ import annotations

import json
from typing import Any

from stylexport.converter.mapping.layouts import (
    DenseAfterHwc,
    DenseAsConv,
    DenseBeforeHwc,
    Depthwise,
    Hwio,
    HwioFlipped,
    Hwoi,
    Layout,
    Squeeze,
    Transpose,
    VectorHwc,
)
from stylexport.converter.mapping.sequence_layouts import GATES, Gates, Heads, HeadsBias, HeadsOut, KerasGru

BY_NAME: dict[str, Layout] = {
    "identity": Layout(),
    "conv": Hwio(),
    "conv1d": Hwio("W"),
    "conv3d": Hwio("DHW"),
    "conv_transpose": Hwoi(),
    "conv1d_transpose": Hwoi("W"),
    "conv3d_transpose": Hwoi("DHW"),
    "conv_turned": HwioFlipped(),
    "depthwise": Depthwise(),
    "depthwise1d": Depthwise("W"),
    "dense": Transpose(),
    "dense_as_conv": DenseAsConv(),
    "lstm": Gates((0, 1, 2, 3)),
    "basic_lstm": Gates((0, 2, 1, 3)),
    "gru": KerasGru(),
    "heads": Heads(),
    "heads_bias": HeadsBias(),
    "heads_out": HeadsOut(),
    "vector": Squeeze(1),
    "scalar": Squeeze(0),
}
# Those with two numbers: {name: [height, width]}.
MAPS = {"dense_after_hwc": DenseAfterHwc, "dense_before_hwc": DenseBeforeHwc, "vector_hwc": VectorHwc}


def by_name(value: Any) -> Layout:
    """The layout that a table names: "conv", {dense_after_hwc: [4, 6]}, {gates: [0, 2, 1, 3]}. Raises ValueError for anything else.

    Example:
        >>> by_name("conv1d").shape((5, 3, 8))
        (8, 3, 5)
        >>> by_name({"gates": [1, 0]}).name
        'gates [1, 0]'

    """
    if isinstance(value, str) and value in BY_NAME:
        return BY_NAME[value]
    if isinstance(value, dict) and len(value) == 1:
        (name, numbers), *_ = value.items()
        numbers = numbers if isinstance(numbers, list) and all(type(n) is int for n in numbers) else []
        if name in MAPS and len(numbers) == 2 and min(numbers) > 0:
            return MAPS[name](*numbers)
        if name == GATES and sorted(numbers) == list(range(len(numbers))) != []:
            return Gates(tuple(numbers))
    sized = ", ".join(f"{{{name}: [height, width]}}" for name in MAPS)
    raise ValueError(f"layout {value!r} is not one of {', '.join(BY_NAME)}, {sized}, {{{GATES}: [each gate's place, from 0]}}")


def by_description(name: str, rank: int) -> Layout:
    """The layout that a ledger calls `name`, for a PyTorch tensor of `rank` axes. Raises ValueError for an unknown name.

    Example:
        >>> import numpy as np
        >>> layout = by_description("dense [in, out] -> [out, in]", rank=2)
        >>> layout.shape((3, 5)), layout.inverse(layout.forward(np.eye(3, 5)), (3, 5)).shape
        ((5, 3), (3, 5))

    """
    if name == Squeeze.title:
        return Squeeze(rank)
    for layout in BY_NAME.values():
        if layout.name == name and type(layout) is not KerasGru:
            return layout
    title, _, size = name.partition(", map ")
    for of_map in MAPS.values():
        if of_map.title == title and size:
            height, width = size.split("x")
            return of_map(int(height), int(width))
    if name.startswith(f"{GATES} ["):
        return Gates(tuple(json.loads(name.removeprefix(GATES))))
    raise ValueError(f"no layout is called {name!r}")
