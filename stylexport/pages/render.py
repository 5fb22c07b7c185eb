"""Self-contained HTML pages: a template filled, images inlined as PNG. `templates/base.html` is the look that all pages share."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np

from stylexport.common.atomic import whole_file
from stylexport.common.text import printable
from stylexport.common.types import Array

BASE = Path(__file__).parent / "templates"  # the folder of base.html


def render(template: Path, target: Path, **values: Any) -> None:
    """Fills a template, which may extend base.html, and writes the page, whole or not at all. Raises BadInput where it cannot."""
    import jinja2

    loader = jinja2.FileSystemLoader([template.parent, BASE])
    environment = jinja2.Environment(
        loader=loader, autoescape=True, finalize=_shown, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template(template.name).render(**values)
    with whole_file(target) as partial:
        partial.write_text(page, encoding="utf-8", errors="backslashreplace", newline="\n")


def _shown(value: Any) -> Any:
    """What a page shows of a value: of text what can be shown. What is markup already stays."""
    return printable(value, lines=True) if type(value) is str else value


def png(image: Array, scale: int = 1) -> str:
    """An image [H, W], [1, H, W] or [3, H, W] in [-1, 1] as a data URI, each pixel drawn as `scale` times `scale` pixels.

    Example:
        >>> png(np.zeros((3, 2, 2)))[:22]
        'data:image/png;base64,'

    """
    from PIL import Image

    levels = np.clip(np.rint((np.asarray(image, np.float64) + 1) * 127.5), 0, 255).astype(np.uint8)
    levels = levels[0] if levels.shape[0] == 1 and levels.ndim == 3 else levels
    picture = Image.fromarray(levels if levels.ndim == 2 else np.ascontiguousarray(levels.transpose(1, 2, 0)))
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
