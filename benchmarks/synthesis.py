"""What the synthesis network costs beyond its convolutions: its time over that of the same convolutions on their own.

Two denominators, because a layer that doubles the image has two fair counterparts:

    conv2d   every convolution as an F.conv2d with its channels and kernel at the layer's output resolution; a doubling layer needs a
             quarter of that arithmetic, so this one flatters the network
    strict   the doubling layers as the F.conv_transpose2d of stride 2 that they need, without filter; judge by this one

Each bare convolution is timed in both memory layouts (contiguous, channels last) and counts with the faster. Modulation,
demodulation, filters, noise, biases, activations, the image's own path and every copy are the network's and count against it.
Float32, no gradients, random weights; network and convolutions take turns within each repeat, and a ratio is the median of the
repeats' ratios.

    python -m benchmarks.synthesis --resolution 256 --batch 1 4 --repeats 7
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.common.timing import seconds
from stylexport.torch_models import Generator
from stylexport.torch_models.config import GeneratorConfig, channel_schedule, channels_by_resolution

TARGET = 1.5
LAYOUTS = (torch.contiguous_format, torch.channels_last)

Call = Callable[[], object]


def bare_convolutions(config: GeneratorConfig, batch: int) -> Iterator[tuple[str, str, Call]]:
    """(layer, denominators it counts in, call) for each bare convolution, in both layouts: "both", "conv2d" or "strict"."""
    channels = channels_by_resolution(config.resolution, config.channels)
    for layout in LAYOUTS:

        def tensor(*shape: int, layout: torch.memory_format = layout) -> torch.Tensor:
            return torch.randn(*shape).contiguous(memory_format=layout)

        for r, c in channels.items():
            x, same, rgb = tensor(batch, c, r, r), tensor(c, c, 3, 3), tensor(config.image_channels, c, 1, 1)
            yield f"b{r}.conv1", "both", partial(F.conv2d, x, same, padding=1)
            yield f"b{r}.torgb", "both", partial(F.conv2d, x, rgb)
            if r > 4:
                i = channels[r // 2]
                full, half = tensor(batch, i, r, r), tensor(batch, i, r // 2, r // 2)
                up, down = tensor(c, i, 3, 3), tensor(i, c, 3, 3)
                yield f"b{r}.conv0", "conv2d", partial(F.conv2d, full, up, padding=1)
                yield f"b{r}.conv0", "strict", partial(F.conv_transpose2d, half, down, stride=2)


@torch.no_grad()
def measure(config: GeneratorConfig, batch: int, repeats: int) -> dict[str, Any]:
    """Median times in milliseconds and both ratios at one batch size."""
    generator = Generator(config).eval()
    styles = generator.style_vectors(torch.randn(batch, config.dlatent))
    bare = list(bare_convolutions(config, batch))

    def synthesis() -> object:
        return generator.synthesis(styles)

    for call in (synthesis, *(call for _, _, call in bare)):
        call()  # the first run pays for oneDNN's kernels
    own: list[float] = []
    times: list[list[float]] = [[] for _ in bare]
    for _ in range(repeats):
        own.append(seconds(synthesis))
        for record, (_, _, call) in zip(times, bare, strict=True):
            record.append(seconds(call))
    fastest: dict[tuple[str, str], list[float]] = {}
    for record, (layer, kind, _) in zip(times, bare, strict=True):
        fastest[layer, kind] = min(record, fastest.get((layer, kind), record), key=statistics.median)
    # Sums within a repeat, so that both sides of a ratio share whatever else the machine did then.
    total = {
        kind: [sum(turn) for turn in zip(*(t for (_, k), t in fastest.items() if k in ("both", kind)), strict=True)]
        for kind in ("conv2d", "strict")
    }
    ratio = {kind: statistics.median(a / b for a, b in zip(own, sums, strict=True)) for kind, sums in total.items()}
    return {
        "resolution": config.resolution,
        "batch": batch,
        "threads": torch.get_num_threads(),
        "synthesis_ms": statistics.median(own) * 1e3,
        "conv2d_ms": statistics.median(total["conv2d"]) * 1e3,
        "strict_ms": statistics.median(total["strict"]) * 1e3,
        "ratio_conv2d": ratio["conv2d"],
        "ratio_strict": ratio["strict"],
        "target": TARGET,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=256, help="image size (default 256, with the released channels)")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4], help="batch sizes (default 1 4)")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default PyTorch's)")
    parser.add_argument("--repeats", type=int, default=7, help="repeats that the medians are over (default 7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a batch size")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = GeneratorConfig(options.resolution, channel_schedule(options.resolution))
    for batch in options.batch:
        found = measure(config, batch, options.repeats)
        if options.json:
            print(json.dumps(found))
        else:
            print(
                f"{found['resolution']} px, batch {batch}, {found['threads']} threads: synthesis {found['synthesis_ms']:.0f} ms; "
                f"over its convolutions {found['ratio_strict']:.2f} (strict, {found['strict_ms']:.0f} ms), "
                f"{found['ratio_conv2d']:.2f} (conv2d, {found['conv2d_ms']:.0f} ms); target {TARGET}"
            )


if __name__ == "__main__":
    main()
