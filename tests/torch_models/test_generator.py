"""The generator: released order of styles, formulas, noise, truncation."""

from __future__ import annotations

import math

import pytest
import torch

from stylexport.torch_models import Generator, Styles
from stylexport.torch_models.config import GeneratorConfig, channel_schedule
from stylexport.torch_models.layers.styles import conv_layers, torgb_layers
from tests.torch_models.plain import GENERATOR, dense, fill, generator, lrelu

DLATENTS = torch.randn(3, 10, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


@pytest.fixture(scope="module")
def g() -> Generator:
    model = fill(Generator(GENERATOR)).double()
    assert isinstance(model, Generator)
    return model


def test_the_generator_equals_its_formulas(g: Generator):
    torch.testing.assert_close(g(DLATENTS), generator(g.state_dict(), DLATENTS), atol=1e-11, rtol=0)


@pytest.mark.parametrize("layer", range(5))
def test_synthesis_goes_on_from_any_layer_and_reads_no_style_below_it(g: Generator, layer: int):
    unchanged, changed = g.style_vectors(DLATENTS[:1]), g.style_vectors(DLATENTS)
    conv = [below.expand(3, -1) for below in unchanged.conv[:layer]] + [*changed.conv[layer:]]
    torgb = unchanged.torgb
    entering = g.synthesis.layer_inputs(unchanged)[layer]
    unread = [torch.full_like(below, math.nan) for below in conv[:layer]] + conv[layer:]
    found = g.synthesis.resume(layer, entering, Styles(tuple(unread), torgb))
    torch.testing.assert_close(found, g.synthesis(Styles(tuple(conv), torgb)), atol=1e-12, rtol=0)


def test_float32_agrees_with_the_formulas_to_rounding():
    single = fill(Generator(GENERATOR))
    state = {name: t.double() for name, t in single.state_dict().items()}
    found, expected = single(DLATENTS.float()), generator(state, DLATENTS.float().double())
    assert (found.double() - expected).norm() < 1e-6 * expected.norm()


def test_mapping_normalises_by_the_second_moment_and_applies_the_learning_rate_multiplier(g: Generator):
    z = torch.randn(2, 9, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    x = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for i in range(3):
        x = lrelu(dense(x, g.state_dict(), f"mapping.fc{i}", multiplier=0.01))
    torch.testing.assert_close(g.mapping(z), x, atol=1e-12, rtol=0)


def test_styles_at_256_px_are_the_released_5760_coordinates_in_the_released_order():
    config = GeneratorConfig(256, channel_schedule(256))
    conv, torgb = conv_layers(config), torgb_layers(config)
    assert list(conv)[:4] == ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0"]
    assert list(conv.values()) == [512] * 10 + [256, 256, 128]
    assert sum(conv.values()) == 5760
    assert list(torgb) == ["b4.torgb", "b8.torgb", "b16.torgb", "b32.torgb", "b64.torgb", "b128.torgb", "b256.torgb"]
    assert sum(torgb.values()) == 2944
    with torch.device("meta"):
        network = Generator(config)
        styles = network.style_vectors(torch.empty(2, 514))
        image = network.synthesis(styles)
    assert [s.shape[1] for s in styles.conv] == list(conv.values())
    assert [s.shape[1] for s in styles.torgb] == list(torgb.values())
    assert image.shape == (2, 3, 256, 256)


def test_the_style_vectors_add_one_to_the_stored_bias(g: Generator):
    styles = g.style_vectors(torch.zeros(1, 10, dtype=torch.float64))
    for name, style in zip(conv_layers(GENERATOR) | torgb_layers(GENERATOR), (*styles.conv, *styles.torgb), strict=True):
        torch.testing.assert_close(style[0], g.state_dict()[f"style_vectors.{name}.bias"] + 1)


def test_state_dict_names_and_shapes_are_the_converters(g: Generator):
    shapes = {name: tuple(t.shape) for name, t in g.state_dict().items()}
    expected: dict[str, tuple[int, ...]] = {"w_avg": (8,), "synthesis.b4.const": (7, 4, 4)}
    for i, inputs in enumerate((9, 8, 8)):
        expected |= {f"mapping.fc{i}.weight": (8, inputs), f"mapping.fc{i}.bias": (8,)}
    outputs = {"b4": 7, "b8": 6, "b16": 5}
    for name, inputs in conv_layers(GENERATOR).items():
        block, r = name.split(".")[0], int(name.split(".")[0][1:])
        out = outputs[block]
        expected |= {f"style_vectors.{name}.weight": (inputs, 10), f"style_vectors.{name}.bias": (inputs,)}
        expected |= {f"synthesis.{name}.weight": (out, inputs, 3, 3), f"synthesis.{name}.bias": (out,)}
        expected |= {f"synthesis.{name}.noise_strength": (), f"synthesis.{name}.noise_const": (r, r)}
    for name, inputs in torgb_layers(GENERATOR).items():
        expected |= {f"style_vectors.{name}.weight": (inputs, 10), f"style_vectors.{name}.bias": (inputs,)}
        expected |= {f"synthesis.{name}.weight": (3, inputs, 1, 1), f"synthesis.{name}.bias": (3,)}
    assert shapes == expected


def test_a_sample_is_the_same_alone_and_in_a_batch(g: Generator):
    single = fill(Generator(GENERATOR))
    together = single(DLATENTS.float())
    for i in range(3):
        torch.testing.assert_close(single(DLATENTS[i : i + 1].float()), together[i : i + 1], atol=2e-5, rtol=1e-5)


def test_one_row_stands_for_the_batch_and_edits_share_what_lies_below(g: Generator):
    base = g.style_vectors(DLATENTS[:1])
    edited = list(base.conv)
    edited[3] = edited[3] + torch.tensor([[0.0], [1.5], [-2.0]], dtype=torch.float64)
    full = Styles(tuple(s.expand(3, -1) for s in edited), tuple(s.expand(3, -1) for s in base.torgb))
    shared = Styles(tuple(edited), base.torgb)
    rows: list[int] = []
    handle = g.synthesis.get_submodule("b8.conv1").register_forward_hook(lambda m, i, out: rows.append(len(out)))
    torch.testing.assert_close(g.synthesis(shared), g.synthesis(full), atol=1e-12, rtol=0)
    handle.remove()
    assert rows == [1, 3]


def test_constant_noise_repeats_random_noise_does_not_and_none_is_no_noise(g: Generator):
    styles = g.style_vectors(DLATENTS)
    const, none = g.synthesis(styles), g.synthesis(styles, noise="none")
    assert torch.equal(const, g.synthesis(styles, noise="const"))
    torch.manual_seed(3)
    random, again = g.synthesis(styles, noise="random"), g.synthesis(styles, noise="random")
    assert min((a - b).abs().max() for a, b in ((const, none), (const, random), (random, again), (random, none))) > 0.01
    own = [g.get_buffer(f"synthesis.{name}.noise_const") for name in conv_layers(GENERATOR)]
    assert torch.equal(const, g.synthesis(styles, noise=own))
    assert torch.equal(none, g.synthesis(styles, noise=[torch.zeros_like(n) for n in own]))


def test_random_noise_differs_from_sample_to_sample(g: Generator):
    one, other = g(DLATENTS[:1].expand(2, -1), noise="random")
    assert (one - other).abs().max() > 0.01


def test_noise_is_scaled_by_its_strength_before_bias_and_activation(g: Generator):
    layer = g.synthesis.get_submodule("b8.conv1")
    x = torch.randn(1, 6, 8, 8, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    style = torch.linspace(0.5, 2.0, 6, dtype=torch.float64)[None]
    # Undo the activation: y / (gain * slope) below zero.
    quiet, loud = (
        torch.where(y > 0, y, y / 0.2) / math.sqrt(2) for y in (layer(x, style, "none"), layer(x, style, torch.full((8, 8), 2.5)))
    )
    torch.testing.assert_close(loud - quiet, (2.5 * layer.noise_strength).expand_as(quiet), atol=1e-12, rtol=0)


def test_truncation_pulls_w_towards_its_mean_and_leaves_the_label_probabilities(g: Generator):
    truncated = g.truncate(DLATENTS, 0.7)
    torch.testing.assert_close(truncated[:, :8], g.w_avg + 0.7 * (DLATENTS[:, :8] - g.w_avg))
    assert torch.equal(truncated[:, 8:], DLATENTS[:, 8:])
    torch.testing.assert_close(g(DLATENTS, truncation_psi=0.7), g(truncated))


def test_released_pair_of_lists_is_accepted(g: Generator):
    styles = g.style_vectors(DLATENTS)
    assert torch.equal(g.synthesis([list(styles.conv), list(styles.torgb)]), g.synthesis(styles))


def test_wrong_calls_say_what_was_expected(g: Generator):
    styles = g.style_vectors(DLATENTS)
    with pytest.raises(ValueError, match=r"8 \+ 2 values, not 8"):
        g(DLATENTS[:, :8])
    with pytest.raises(ValueError, match="z holds 9 values, not 8"):
        g.mapping(DLATENTS[:, :8])
    with pytest.raises(ValueError, match="5 conv and 3 toRGB styles go in, not 4 and 3"):
        g.synthesis(Styles(styles.conv[:-1], styles.torgb))
    with pytest.raises(ValueError, match="7 input channels, not 6 values"):
        g.synthesis(Styles((styles.conv[2], *styles.conv[1:]), styles.torgb))
    with pytest.raises(ValueError, match="noise is one of const, random, none"):
        g.synthesis(styles, noise="constant")
    with pytest.raises(ValueError, match="5 in all, not 1"):
        g.synthesis(styles, noise=[torch.zeros(4, 4)])
