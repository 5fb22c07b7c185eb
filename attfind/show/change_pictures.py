"""Pictures of changes: heat maps, contact sheets, animations. Images are [3, R, R] in a known range; pictures are Pillow's."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stylexport.common.types import Array

Range = tuple[float, float]
LOSSLESS = 64  # pictures whose sides are longer go into a page as JPEG
QUALITY = 90
# From a pixel that stays to the one that changes most: dark to light, so that it reads in grey too.
RAMP = np.array([(16, 20, 46), (62, 52, 138), (176, 58, 104), (238, 128, 62), (255, 240, 190)])
PAPER, INK, SOFT = (255, 255, 255), (31, 35, 40), (89, 99, 110)
GAP = 6


def picture(image: Array, image_range: Range, side: int | None = None) -> Image.Image:
    """An image as a picture, enlarged by whole pixels or made smaller so that it comes near `side` where one is given."""
    low, high = image_range
    levels = np.clip(np.rint((np.asarray(image, np.float64) - low) * (255 / (high - low))), 0, 255).astype(np.uint8)
    coloured = levels.repeat(3, 0) if len(levels) == 1 else levels  # grey is shown in three equal colours
    return resized(Image.fromarray(np.ascontiguousarray(coloured.transpose(1, 2, 0))), side)


def change_map(before: Array, after: Array, most: float | None = None, side: int | None = None) -> Image.Image:
    """How far each pixel moved, the mean over channels, as a heat map; `most` is where the colours end, by default the largest change."""
    moved = np.abs(np.asarray(after, np.float64) - before).mean(0)
    levels = np.clip(moved / (most or moved.max() or 1.0), 0, 1)
    stops = np.linspace(0, 1, len(RAMP))
    colours = np.stack([np.interp(levels, stops, RAMP[:, i]) for i in range(3)], -1)
    return resized(Image.fromarray(np.rint(colours).astype(np.uint8)), side)


def resized(drawn: Image.Image, side: int | None) -> Image.Image:
    """A picture about `side` wide: pixels drawn several times over, or averaged."""
    if side is None or side == drawn.width:
        return drawn
    if side > drawn.width:
        factor = side // drawn.width
        return drawn.resize((drawn.width * factor, drawn.height * factor), Image.Resampling.NEAREST)
    return drawn.resize((side, round(drawn.height * side / drawn.width)), Image.Resampling.LANCZOS)


def strip(pictures: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """Pictures of one size side by side."""
    width, height = pictures[0].size
    joined = Image.new("RGB", (len(pictures) * (width + gap) - gap, height), PAPER)
    for i, one in enumerate(pictures):
        joined.paste(one, (i * (width + gap), 0))
    return joined


def data_uri(drawn: Image.Image) -> str:
    """A picture for a page: PNG where it is small, JPEG where it is large."""
    small = drawn.height <= LOSSLESS
    buffer = io.BytesIO()
    if small:
        drawn.save(buffer, "PNG", optimize=True)
    else:
        drawn.save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/{'png' if small else 'jpeg'};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def animation(frames: Sequence[Image.Image], milliseconds: int) -> bytes:
    """A GIF that goes through the frames and back again, without end."""
    there_and_back = [*frames, *frames[-2:0:-1]]
    buffer = io.BytesIO()
    there_and_back[0].save(
        buffer, "GIF", save_all=True, append_images=there_and_back[1:], duration=milliseconds, loop=0, disposal=2, optimize=False
    )
    return buffer.getvalue()


def text_height(size: int) -> int:
    """How high a line of letters of a size is."""
    return round(size * 1.4)


def sheet(title: str, heads: Sequence[tuple[str, int]], rows: Sequence[Sequence[tuple[Image.Image, str]]]) -> Image.Image:
    """A contact sheet: a title, a head over each column (its text and its width), and rows of pictures with a caption under each."""
    font, large = ImageFont.load_default(13), ImageFont.load_default(17)
    caption = text_height(13)
    width = max(sum(size + 2 * GAP for _, size in heads), round(large.getlength(title)) + 2 * GAP)
    heights = [max(one.height for one, _ in row) + caption + 2 * GAP for row in rows]
    top = text_height(17) + caption + 3 * GAP
    drawn = Image.new("RGB", (width, top + sum(heights)), PAPER)
    draw = ImageDraw.Draw(drawn)
    draw.text((GAP, GAP), title, INK, large)
    lefts = [GAP + sum(size + 2 * GAP for _, size in heads[:i]) for i in range(len(heads))]
    for left, (head, _) in zip(lefts, heads, strict=True):
        draw.text((left, top - caption - GAP), head, SOFT, font)
    y = top
    for row, height in zip(rows, heights, strict=True):
        for left, (one, below) in zip(lefts, row, strict=True):
            drawn.paste(one, (left, y))
            draw.text((left, y + one.height + 2), below, INK, font)
        y += height
    return drawn
