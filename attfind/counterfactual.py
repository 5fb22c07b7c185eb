"""Counterfactual images: an image's own latent, with the coordinates of chosen attributes moved (Lang et al. 2021, section 3.3).

A move is a pair (direction, coordinate): the coordinate goes to its minimum over the data (direction 0) or to its maximum (1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from stylexport.attfind.model import Explained, ImageEditor
from stylexport.common.types import Array


class MoveLike(Protocol):
    """Anything with a direction and a coordinate. An `Attribute` is one."""

    @property
    def direction(self) -> int:
        """0 to the minimum, 1 to the maximum."""
        ...

    @property
    def coordinate(self) -> int:
        """Its index among all."""
        ...


class Move(NamedTuple):
    """A direction and a coordinate, without more."""

    direction: int
    coordinate: int


class Counterfactual(NamedTuple):
    """`images` [N, 3, R, R] and the `styles` [N, S] behind them; [N, K, 3, R, R] and [N, K, S] where each move stands alone."""

    images: Tensor
    styles: Tensor


def targets(styles: Array, shift: float, style_min: Array, style_max: Array) -> Array:
    """The values [2, S] that coordinates `styles` [S] are moved to: s + shift (minimum - s), and s + shift (maximum - s).

    Example:
        >>> targets(np.array([1.0, 4.0]), 0.5, np.array([-1.0, 2.0]), np.array([2.0, 9.0])).tolist()
        [[0.0, 3.0], [1.5, 6.5]]

    """
    return np.stack([styles + shift * (style_min - styles), styles + shift * (style_max - styles)])


def counterfactual(
    model: Explained,
    latent: Tensor,
    attributes: Sequence[MoveLike],
    *,
    style_min: Array,
    style_max: Array,
    shift: float = 1.0,
    together: bool = True,
    batch: int = 32,
) -> Counterfactual:
    """Images of `latent` ([D] or [N, D]) whose coordinates go `shift` of the way to `style_min` or `style_max` [S].

    With `together` all K attributes move in one image, else each in an image of its own. `latent` without N gives images without N.
    Raises IndexError where a coordinate is not the model's, ValueError where a direction is neither 0 nor 1.

    Example:
        >>> from stylexport.attfind import Autoencoder
        >>> model = Autoencoder(lambda images: images.flatten(1), lambda latents: latents.view(-1, 3, 1, 1), size=3)
        >>> low, high = np.full(3, -0.5, np.float32), np.full(3, 0.5, np.float32)
        >>> found = counterfactual(model, torch.zeros(3), [Move(1, 2)], style_min=low, style_max=high)
        >>> found.images.flatten().tolist()
        [0.0, 0.0, 0.5]

    """
    images, styles = [], []
    with torch.no_grad():
        for row in latent if latent.ndim == 2 else latent[None]:
            own = model.styles(row[None])[0].cpu().numpy()
            if together:
                changed = moved(own, attributes, shift, style_min, style_max)[None]
            else:
                changed = np.stack([moved(own, [move], shift, style_min, style_max) for move in attributes])
            rendered = torch.cat([*render(model.editor(row), changed, model.device, batch)])
            images.append(rendered[0] if together else rendered)
            styles.append(torch.from_numpy(changed[0] if together else changed))
    found = Counterfactual(torch.stack(images), torch.stack(styles))
    return found if latent.ndim == 2 else Counterfactual(found.images[0], found.styles[0])


def moved(styles: Array, moves: Sequence[MoveLike], shift: float, style_min: Array, style_max: Array) -> Array:
    """`styles` [S] with all moves made, as `targets` sets the values. A coordinate named twice goes where the first says.

    Raises IndexError and ValueError as `counterfactual` does.
    """
    found, goal = styles.copy(), targets(styles, shift, style_min, style_max)
    for move in reversed(moves):
        if move.direction not in (0, 1):
            raise ValueError(f"direction {move.direction} is neither 0 (to the minimum) nor 1 (to the maximum)")
        if not 0 <= move.coordinate < len(styles):
            raise IndexError(f"coordinate {move.coordinate} is not among the {len(styles)} of this model")
        found[move.coordinate] = goal[move.direction, move.coordinate]
    return found


def growing(styles: Array, moves: Sequence[MoveLike], count: int, shift: float, style_min: Array, style_max: Array) -> Array:
    """The styles [K, S] with the first 1, 2, ... K = `count` moves made together; where there are fewer moves, all of them."""
    return np.stack([moved(styles, moves[:k], shift, style_min, style_max) for k in range(1, count + 1)])


def render(editor: ImageEditor, styles: Array, device: torch.device, batch: int) -> Iterator[Tensor]:
    """The images of whole style vectors [B, S], at most `batch` at once."""
    for part in torch.from_numpy(styles).split(batch):
        yield editor.render(part.to(device))
