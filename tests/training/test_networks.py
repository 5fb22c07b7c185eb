"""What a run takes from a release is told, and what is told is what happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stylexport.torch_models.stylex import StylEx
from stylexport.training.networks import Reuse, adapted, build
from tests.training.steps import SMALL

pytestmark = pytest.mark.processor

FOUR = replace(SMALL, channels=(12, 8, 8, 6))  # for 32 px
ALL = ("generator", "encoder", "discriminator")


@pytest.fixture(scope="module")
def release(converted: Path) -> StylEx:
    """The embedded release: 32 px, two labels."""
    return StylEx.from_pretrained(converted)


@pytest.mark.parametrize(("resolution", "labels"), [(32, 2), (64, 2), (16, 2), (32, 3), (64, 5)])
def test_what_is_told_is_what_happened(release: StylEx, resolution: int, labels: int) -> None:
    networks, reuses = build(SMALL, resolution, labels, ALL, release)
    for name, reuse in reuses.items():
        own, given = networks[name].state_dict(), getattr(release, name).state_dict()
        assert {*reuse.whole, *reuse.part, *reuse.fresh} == own.keys()
        assert len(reuse.whole) + len(reuse.part) + len(reuse.fresh) == len(own)
        assert all(torch.equal(own[key], given[key]) for key in reuse.whole)
        for key in reuse.part:
            latent = networks["generator"].config.latent
            assert torch.equal(own[key][:, :latent], given[key][:, :latent])
            assert own[key].shape[1] == latent + labels
        assert not any(key in given and torch.equal(own[key], given[key]) for key in reuse.fresh)


def test_a_release_as_it_is_is_reused_whole(release: StylEx) -> None:
    _, reuses = build(SMALL, 32, 2, ALL, release)
    assert all(not reuse.part and not reuse.fresh for reuse in reuses.values())
    assert reuses["generator"].summary() == f"{len(release.generator.state_dict())} tensors reused"


def test_a_larger_image_begins_its_last_block_anew(release: StylEx) -> None:
    networks, reuses = build(SMALL, 64, 2, ALL, release)
    assert all("b64" in key for name in ALL for key in reuses[name].fresh)
    assert networks["generator"].config.channels == (*release.generator.config.channels, release.generator.config.channels[-1] // 2)


def test_a_larger_image_keeps_what_the_generator_painted_at_the_old_size(release: StylEx) -> None:
    """Skip connections: up to 32 px the image that is summed is the release's."""
    networks, _ = build(SMALL, 64, 2, ("generator",), release)
    dlatent = torch.randn(2, release.generator.config.dlatent, generator=torch.Generator().manual_seed(2))
    grown, painted = networks["generator"], []
    grown.synthesis.b32.register_forward_hook(lambda _, given, found: painted.append(found[1]))
    with torch.no_grad():
        grown(dlatent)
        assert torch.allclose(painted[0], release.generator(dlatent), atol=1e-6)


def test_a_smaller_image_begins_only_the_way_from_pixels_anew(release: StylEx) -> None:
    _, reuses = build(SMALL, 16, 2, ALL, release)
    assert reuses["generator"].fresh == ()
    assert reuses["encoder"].fresh == reuses["discriminator"].fresh == ("b16.fromrgb.weight", "b16.fromrgb.bias")


def test_other_labels_begin_their_columns_and_outputs_anew(release: StylEx) -> None:
    _, reuses = build(SMALL, 32, 3, ALL, release)
    assert not reuses["encoder"].fresh
    assert reuses["discriminator"].fresh == ("b4.out.weight", "b4.out.bias")
    assert set(reuses["generator"].part) == {
        key for key in release.generator.state_dict() if key.startswith("style_vectors") and key.endswith("weight")
    }
    assert reuses["generator"].fresh == ()


def test_it_is_told_in_words() -> None:
    reuse = Reuse(("a", "b"), {"c": "columns of w", "d": "columns of w"}, ("e", "f", "g", "h"))
    assert reuse.summary() == "2 tensors reused, 2 in part (c: columns of w, ...), 4 fresh (e, f, g, ...)"


def test_only_a_generator_lends_its_latent_to_a_fresh_encoder(release: StylEx) -> None:
    networks, reuses = build(FOUR, 32, 2, ALL[:2], StylEx(generator=release.generator))
    assert set(reuses) == {"generator"}
    assert networks["encoder"].config.latent == release.generator.config.latent != SMALL.latent
    assert networks["encoder"](torch.zeros(4, 3, 32, 32)).shape == (4, release.generator.config.latent)


def test_only_an_encoder_lends_its_latent_to_a_fresh_generator(release: StylEx) -> None:
    networks, reuses = build(FOUR, 32, 2, ALL, StylEx(encoder=release.encoder))
    assert set(reuses) == {"encoder"}
    assert networks["generator"].config.latent == release.encoder.config.latent != SMALL.latent
    assert networks["generator"].config.channels == FOUR.channels != release.encoder.config.channels


def test_the_release_stays_as_it_is(release: StylEx) -> None:
    """A run trains copies."""
    before = {key: tensor.clone() for key, tensor in release.generator.state_dict().items()}
    networks, _ = build(SMALL, 32, 2, ALL, release)
    with torch.no_grad():
        for p in networks["generator"].parameters():
            p.add_(1)
    assert all(torch.equal(tensor, before[key]) for key, tensor in release.generator.state_dict().items())
    assert all(p.requires_grad for network in networks.values() for p in network.parameters())


def test_each_doubling_halves_the_channels(release: StylEx) -> None:
    config = release.generator.config
    last = config.channels[-1]
    assert adapted(config, 256, 2).channels == (*config.channels, last // 2, last // 4, last // 8)
    assert adapted(config, 8, 7).channels == config.channels[:2]
    assert adapted(config, 8, 7).labels == 7
