"""The ways a network is run: autocast, 16-bit weights, channels last, compiled, exported. All must give the same function."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylexport.torch_models import Discriminator, Encoder, Generator, MobileNetV1
from stylexport.torch_models.pretrained import PretrainedNetwork
from tests.torch_models.plain import DISCRIMINATOR, ENCODER, GENERATOR, MOBILENET, fill

NAMES = ["generator", "encoder", "discriminator", "classifier"]


def case(name: str) -> tuple[PretrainedNetwork, tuple[Tensor, ...]]:
    """A network with values of its own, and inputs for a batch of four."""
    random = torch.Generator().manual_seed(11)
    images = torch.randn(4, 3, 16, 16, generator=random)
    labels = torch.rand(4, 3, generator=random)
    cases: dict[str, tuple[PretrainedNetwork, tuple[Tensor, ...]]] = {
        "generator": (Generator(GENERATOR), (torch.randn(4, 10, generator=random),)),
        "encoder": (Encoder(ENCODER), (images,)),
        "discriminator": (Discriminator(DISCRIMINATOR), (images, labels)),
        "classifier": (MobileNetV1(MOBILENET), (images,)),
    }
    model, inputs = cases[name]
    fill(model)
    return model.eval(), inputs


def distance(found: Tensor, expected: Tensor) -> float:
    """|found - expected| / |expected|."""
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", NAMES)
def test_autocast_is_the_same_function_to_sixteen_bits(name: str, dtype: torch.dtype):
    model, inputs = case(name)
    expected = model(*inputs)
    with torch.autocast("cpu", dtype=dtype):
        found = model(*inputs)
    assert 0 < distance(found, expected) < 16 * torch.finfo(dtype).eps
    if name != "classifier":
        assert found.dtype == torch.float32


def test_autocast_trains_the_generator():
    model, inputs = case("generator")
    grads = []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            image = model(*inputs)
        image.square().mean().backward()
        grads.append(model.get_parameter("synthesis.b8.conv0.weight").grad)
    assert distance(grads[1], grads[0]) < 0.1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", NAMES)
def test_sixteen_bit_weights_and_inputs_run(name: str, dtype: torch.dtype):
    model, inputs = case(name)
    expected = model(*inputs)
    found = model.to(dtype)(*(x.to(dtype) for x in inputs))
    assert found.dtype == dtype
    assert distance(found, expected) < 16 * torch.finfo(dtype).eps


@pytest.mark.parametrize("name", NAMES)
def test_float32_weights_with_float64_inputs_compute_in_float64(name: str):
    model, inputs = case(name)
    found = model(*(x.double() for x in inputs))
    assert found.dtype == torch.float64
    assert distance(found, model.double()(*(x.double() for x in inputs))) < 1e-14


@pytest.mark.parametrize("name", NAMES)
def test_channels_last_weights_and_images_change_nothing(name: str):
    model, inputs = case(name)
    expected = model(*inputs)
    turned = [x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x for x in inputs]
    assert distance(model.to(memory_format=torch.channels_last)(*turned), expected) < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_compiling_changes_nothing_and_breaks_no_graph(name: str):
    model, inputs = case(name)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert distance(compiled(*inputs), model(*inputs)) < 1e-6


def test_compiling_under_autocast_breaks_no_graph():
    model, inputs = case("generator")
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert distance(compiled(*inputs), model(*inputs)) < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_exporting_changes_nothing(name: str):
    model, inputs = case(name)
    exported = torch.export.export(model, inputs)
    assert distance(exported.module()(*inputs), model(*inputs)) < 1e-6


def test_the_synthesis_network_exports_with_styles_as_its_input_and_any_batch():
    model, inputs = case("generator")
    assert isinstance(model, Generator)
    styles = model.style_vectors(*inputs)
    batch = torch.export.Dim("batch", min=2, max=64)
    shapes = (type(styles)(tuple({0: batch} for _ in styles.conv), tuple({0: batch} for _ in styles.torgb)),)
    exported = torch.export.export(model.synthesis, (styles,), dynamic_shapes=shapes)
    other = model.style_vectors(inputs[0][:3])
    assert distance(exported.module()(other), model.synthesis(other)) < 1e-6


def test_the_classifier_exports_for_any_batch_and_any_size_even_and_odd():
    model, inputs = case("classifier")
    # AUTO, because PyTorch cannot prove that a channels-last stride is more than one for sizes with a lower bound of their own.
    shapes = ({0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO},)
    exported = torch.export.export(model, inputs, dynamic_shapes=shapes)
    for size in ((2, 3, 33, 30), (1, 3, 18, 47)):
        image = torch.randn(size, generator=torch.Generator().manual_seed(1))
        assert distance(exported.module()(image), model(image)) < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_a_tapped_layer_keeps_its_value_after_the_run(name: str):
    model, inputs = case(name)
    taken: list[tuple[str, Tensor, Tensor]] = []
    for layer, module in model.named_modules():
        if layer and not any(module.children()):
            module.register_forward_hook(
                lambda m, i, out, layer=layer: taken.append((layer, out, out.clone())) if isinstance(out, Tensor) else None
            )
    with torch.no_grad():
        model(*inputs)
    assert len(taken) > 5
    for layer, later, then in taken:
        assert torch.equal(later, then), layer
