"""What is measured at a checkpoint is what its definitions say, on the embedded release's own digits."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from stylexport.common.errors import BadInput
from stylexport.torch_models.classifiers.open import Classifier
from stylexport.torch_models.mobilenet import MobileNetV1
from stylexport.torch_models.stylex import StylEx
from stylexport.training.metrics import Meters, measure, open_meters
from stylexport.training.metrics.distributions import kid


@torch.no_grad()
def test_each_number_is_the_one_written_out(stylex: StylEx, classify: Classifier, images: Tensor) -> None:
    fake = stylex(images)
    p, q = (classify(x).double().softmax(1) for x in (images, fake))
    found = measure(stylex, images, classify, batch=5)
    assert found["image_l1"] == pytest.approx(float((fake - images).abs().mean()), rel=1e-5)
    assert found["kl"] == pytest.approx(float((p * (p.log() - q.log())).sum(1).mean()), rel=1e-4)
    assert found["same_answer"] == pytest.approx(float((p.argmax(1) == q.argmax(1)).double().mean()))
    assert 0.02 < found["image_l1"] < 0.5
    assert found["kl"] > 1e-4


@torch.no_grad()
def test_kid_classifier_is_kid_on_what_enters_the_head(stylex: StylEx, classify: Classifier, images: Tensor) -> None:
    network = stylex.classifier
    assert isinstance(network, MobileNetV1)
    seen: list[Tensor] = []
    fake = stylex(images)
    hook = network.head.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].flatten(1)))
    for each in (images, fake):
        classify(each)
    hook.remove()
    assert measure(stylex, images, classify, batch=12)["kid_classifier"] == pytest.approx(kid(*seen), rel=1e-3)


@torch.no_grad()
def test_the_numbers_do_not_depend_on_the_batch(stylex: StylEx, classify: Classifier, images: Tensor) -> None:
    found, again = (measure(stylex, images, classify, batch=batch) for batch in (5, 12))
    assert found.keys() == again.keys() == {"image_l1", "same_answer", "kl", "kid_classifier"}
    assert [found[name] for name in found] == pytest.approx([again[name] for name in found], rel=1e-3)


@torch.no_grad()
def test_without_the_classifier_in_the_loop_every_label_is_as_probable(stylex: StylEx, classify: Classifier, images: Tensor) -> None:
    assert stylex.encoder is not None
    w = stylex.encoder(images)
    fake = stylex.decode(torch.cat([w, torch.full((12, 2), 0.5)], 1))
    found = measure(stylex, images, classify, in_loop=False)["image_l1"]
    assert found == pytest.approx(float((fake - images).abs().mean()), rel=1e-5)
    assert found != pytest.approx(measure(stylex, images, classify)["image_l1"], rel=1e-3)


def test_meters_measure_images_against_reconstructions(stylex: StylEx, classify: Classifier, images: Tensor) -> None:
    def furthest(left: Tensor, right: Tensor) -> Tensor:
        return (left - right).abs().amax((1, 2, 3))

    def bright(of: Tensor) -> Tensor:
        return of.mean((1, 2))

    with torch.no_grad():
        fake = stylex(images)
    found = measure(stylex, images, classify, meters=Meters(furthest, bright, "kid"), batch=5)
    assert found["lpips"] == pytest.approx(float(furthest(images, fake).mean()), rel=1e-5)
    assert found["kid"] == pytest.approx(kid(bright(images), bright(fake)), rel=1e-3)


def test_meters_that_are_not_to_be_had_are_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("lpips", "torch_fidelity.utils"):
        monkeypatch.setitem(sys.modules, package, None)
    meters, remarks = open_meters(between="fid")
    assert meters == Meters()
    assert [remark.partition(":")[0] for remark in remarks] == ["LPIPS is left out", "FID is left out"]


def test_a_stylex_without_an_encoder_is_refused(stylex: StylEx, classify: Classifier, images: Tensor) -> None:
    blind = StylEx(stylex.generator, classifier=stylex.classifier)
    with pytest.raises(BadInput, match="without an encoder"):
        measure(blind, images, classify)
