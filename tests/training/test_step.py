"""One step does what stylexport.training.step says: who learns from what, when penalties come, what goes into the generator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor

from stylexport.torch_models.stylex import StylEx
from stylexport.training.data.open import DataConfig
from stylexport.training.networks import compile_networks
from stylexport.training.optimisers import rate_share, set_rates
from tests.training.steps import CONFIG, OVERFITTING, images, linear_classifier, settings, step_of, weights

RECONSTRUCTING = settings(losses={"adversarial_weight": 0.0, "path_length": 0.0})


@pytest.fixture
def own_precision() -> Iterator[None]:
    """A process has one precision for all its accelerators."""
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


# -- learning


def test_sixteen_images_are_learned_by_heart() -> None:
    step, batch = step_of(OVERFITTING), images(16, OVERFITTING.data.resolution)
    blank = float((batch - batch.median(0).values).abs().mean())
    for number in range(OVERFITTING.run.steps):
        set_rates(step.optimisers, rate_share(OVERFITTING.optimiser, OVERFITTING.run.steps, number))
        found = step(number, batch)
    assert blank > 0.12
    assert float(found["image_l1"]) < 0.05


def test_from_a_release_the_first_step_has_the_losses_of_a_trained_model(converted: Path) -> None:
    release, config = StylEx.from_pretrained(converted), settings(data=DataConfig(resolution=32), model={"channels": (12, 8, 8, 8)})
    batch, classifier = images(16, 32), release.classifier
    assert classifier is not None
    fresh, trained = (step_of(config, source, classifier)(0, batch) for source in (None, release))
    assert float(trained["image_l1"]) < 0.25 < 0.8 < float(fresh["image_l1"])
    assert float(trained["agreement"]) < 0.1 * float(fresh["agreement"])
    assert float(trained["same_answer"]) > 0.8


# -- who learns from what


def test_the_generators_losses_leave_the_discriminator_alone_and_the_reverse() -> None:
    """With a learning rate for one side only, the other's weights stay, bit for bit; both get gradients of the same step."""
    batch = images()
    for still, moves in (("discriminator", ("generator", "encoder")), ("generator", ("discriminator",))):
        step = step_of(CONFIG)
        for group in step.optimisers[still].param_groups:
            group["lr"] = 0.0
        before = weights(step)
        step(0, batch)
        changed = moved(before, weights(step))
        assert {name.split(".")[0] for name in changed} == set(moves)


def test_no_gradient_is_left_over_for_the_next_phase() -> None:
    step = step_of(CONFIG)
    step(0, images())
    assert [name for network in step.networks.values() for name, p in network.named_parameters() if p.grad is not None] == []
    assert all(p.requires_grad for network in step.networks.values() for p in network.parameters())


def test_the_discriminators_gradient_is_of_its_own_loss_alone() -> None:
    """The generator's adversarial loss flows through the discriminator, and must not teach it: one SGD step is minus the gradient."""
    step, batch = step_of(settings(losses={"path_length": 0.0, "r1": 0.0})), images()
    for name in ("generator", "discriminator"):
        parameters = [p for group in step.optimisers[name].param_groups for p in group["params"]]
        step.optimisers = {**step.optimisers, name: torch.optim.SGD(parameters, 1.0)}
    before = {name: p.detach().clone() for name, p in step.networks["discriminator"].named_parameters()}
    probabilities = step.classifier(batch).softmax(1)
    with torch.no_grad():
        fake = step.networks["generator"](torch.cat([step.networks["encoder"](batch), probabilities], 1))
    real_score, fake_score = (step.networks["discriminator"](x, probabilities) for x in (batch, fake))
    loss = torch.nn.functional.softplus(-real_score).mean() + torch.nn.functional.softplus(fake_score).mean()
    expected = dict(zip(before, torch.autograd.grad(loss, list(step.networks["discriminator"].parameters())), strict=True))
    step(0, batch)
    for name, p in step.networks["discriminator"].named_parameters():
        assert torch.allclose(before[name] - p, expected[name], atol=1e-6, rtol=1e-4), name


# -- the classifier in the loop


def test_probabilities_and_not_logits_go_into_the_dlatent() -> None:
    """What the style affines see behind w sums to one, and a hotter classifier's is flatter; logits would not be either."""
    seen = []
    for temperature in (0.2, 1.0, 5.0):
        step = step_of(CONFIG, classifier=linear_classifier(16, temperature))
        generator = step.networks["generator"]
        generator.style_vectors.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()[:, -2:]))
        step(0, images())
    cold, warm, hot = seen[0], seen[2], seen[4]  # the second of each step is the path length's
    assert torch.allclose(cold.sum(1), torch.ones(8))
    assert torch.allclose(hot.sum(1), torch.ones(8))
    assert torch.allclose(warm, linear_classifier(16)(images()).softmax(1), atol=1e-6)
    assert (cold.max(1).values > warm.max(1).values).all()
    assert (warm.max(1).values > hot.max(1).values).all()
    assert hot.max() < 0.75 < 0.9 < cold.max()


def test_without_the_classifier_in_the_loop_any_probabilities_give_one_image() -> None:
    step = step_of(settings(classifier={"in_loop": False}))
    generator, w = step.networks["generator"], torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    sure = torch.tensor([0.9, 0.1]).expand(4, 2)
    for number in range(4):
        with torch.no_grad():
            one, other = generator(torch.cat([w, sure], 1)), generator(torch.cat([w, sure.flip(1)], 1))
        assert torch.allclose(one, other, atol=2e-5), number
        step(number, images())


def test_with_the_classifier_in_the_loop_they_do_not() -> None:
    generator, w = step_of().networks["generator"], torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    sure = torch.tensor([0.9, 0.1]).expand(4, 2)
    with torch.no_grad():
        change = (generator(torch.cat([w, sure], 1)) - generator(torch.cat([w, sure.flip(1)], 1))).abs().mean()
    assert change > 0.05


# -- how a batch is taken


def test_two_parts_teach_as_one_batch() -> None:
    """The losses are means over samples, so the gradients' mean is the batch's."""
    whole, parts = (step_of(settings(RECONSTRUCTING, run={"accumulate": parts})) for parts in (1, 2))
    for step in (whole, parts):
        for name, own in step.optimisers.items():
            step.optimisers = {name: torch.optim.SGD([p for group in own.param_groups for p in group["params"]], 0.5)}
    before = weights(whole)
    losses = [step(0, images()) for step in (whole, parts)]
    one, other = weights(whole), weights(parts)
    changes = {name: one[name] - before[name] for name in moved(before, one)}
    assert len(changes) > 40
    for name, change in changes.items():
        assert torch.allclose(change, other[name] - before[name], rtol=1e-3, atol=1e-3 * float(change.abs().max()) + 1e-7), name
    for name in ("image_l1", "w_l1", "agreement"):
        assert float(losses[0][name]) == pytest.approx(float(losses[1][name]), rel=1e-5)


def test_style_mixing_paints_the_later_layers_with_another_w() -> None:
    painted = []
    for mixing in (0.0, 1.0):
        step = step_of(settings(regimen="random", run={"style_mixing": mixing}, losses={"path_length": 0.0}))
        step.networks["generator"].synthesis.register_forward_hook(lambda _, given, image: painted.append((given[0], image.detach())))
        step(0, images())
    (plain, image), (mixed, other) = painted
    same = [torch.equal(a, b) for a, b in zip(plain.conv, mixed.conv, strict=True)]
    assert same[0]
    assert not same[-1]
    assert same == sorted(same, reverse=True)
    assert (image - other).abs().mean() > 0.02


def test_a_torgb_changes_to_the_other_w_behind_its_blocks_last_convolution() -> None:
    """Whatever the cut: toRGB i follows convolution 2 i, so it has its w or the other from there on."""
    step = step_of(settings(regimen="random", run={"style_mixing": 1.0}, losses={"path_length": 0.0, "r1": 0.0}))
    generator, cuts = step.networks["generator"], set()
    own, used = [], []
    generator.style_vectors.register_forward_hook(lambda _, given, styles: own.append(styles))
    generator.synthesis.register_forward_hook(lambda _, given, image: used.append(given[0]))
    for number in range(12):
        own.clear()
        step(number, images(4))
        first, _ = own  # the batch's styles, then those of the other w
        conv = [torch.equal(a, b) for a, b in zip(used[-1].conv, first.conv, strict=True)]
        rgb = [torch.equal(a, b) for a, b in zip(used[-1].torgb, first.torgb, strict=True)]
        assert rgb == conv[::2]
        cuts.add(sum(conv))
    assert cuts == {1, 2, 3, 4}


# -- penalties


def test_lazy_penalties_come_when_they_should() -> None:
    step = step_of(settings(losses={"r1_every": 4, "path_length_every": 3}))
    came = [{name for name in step(number, images()) if name in ("r1", "path_length")} for number in range(7)]
    assert came == [{"r1", "path_length"}, set(), set(), {"path_length"}, {"r1"}, set(), {"path_length"}]


class Recording(torch.optim.SGD):
    """Moves nothing, and keeps the gradients of its last update."""

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        self.gradients = torch.cat([p.grad.flatten() for group in self.param_groups for p in group["params"] if p.grad is not None])


@pytest.mark.parametrize(("name", "network"), [("r1", "discriminator"), ("path_length", "generator")])
def test_a_lazy_penalty_weighs_as_much_as_all_that_were_left_out(name: str, network: str) -> None:
    """Its gradient is larger by its interval."""
    gradients = []
    for every in (1, 5):
        step = step_of(settings(losses={f"{name}_every": every}))
        step.optimisers = {key: Recording(own.param_groups[0]["params"], 0.0) for key, own in step.optimisers.items()}
        step(0, images())
        gradients.append(step.optimisers[network].gradients)  # the optimiser's last update is the penalty's
    assert float(gradients[0].norm()) > 1e-3
    assert float((gradients[1] - 5 * gradients[0]).norm() / gradients[1].norm()) < 1e-5


def test_the_running_mean_of_path_lengths_goes_a_hundredth_of_the_way() -> None:
    """Of one image the penalty is (|J^T y| - mean)^2 after the mean has moved, so each tells the length."""
    step = step_of(settings(losses={"path_length_shrink": 8}))
    step.path_mean.fill_(3.0)
    penalty = float(step(0, images())["path_length"])
    after = float(step.path_mean)
    length = 3.0 + (after - 3.0) / 0.01
    assert abs(length - 3.0) > 0.1
    assert penalty == pytest.approx((length - after) ** 2, rel=1e-3)


def test_wgan_with_its_penalty_runs_and_has_no_logarithm() -> None:
    step = step_of(settings(losses={"adversarial": "wgan", "r1": 0.0, "gradient_penalty": 10.0}))
    found = step(0, images())
    assert float(found["discriminator"]) == pytest.approx(float(found["score_fake"] - found["score_real"]), rel=1e-5)
    assert 0 < float(found["gradient_penalty"]) < 10
    assert "r1" not in found


# -- regimens


def test_the_random_regimen_has_no_encoder() -> None:
    step = step_of(settings(regimen="random"))
    found = step(0, images())
    assert set(step.networks) == {"generator", "discriminator"}
    assert not {"image_l1", "w_l1", "agreement", "same_answer"} & set(found)


def test_the_alternating_regimen_reconstructs_in_every_other_step() -> None:
    step = step_of(settings(regimen="alternating"))
    before = weights(step, "generator")
    first, second = step(0, images()), weights(step, "generator")
    assert "image_l1" in first
    assert not any(name.startswith("generator.mapping") for name in moved(before, second))
    assert "image_l1" not in step(1, images())
    assert any(name.startswith("generator.mapping") for name in moved(second, weights(step, "generator")))


def test_the_same_number_draws_the_same_and_another_draws_another() -> None:
    config = settings(regimen="random", run={"noise": "random"})
    one, again, other = (step_of(config)(number, images()) for number in (5, 5, 6))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["adversarial"], other["adversarial"])


def test_w_avg_follows_w_by_half_a_percent() -> None:
    step = step_of(RECONSTRUCTING)
    w = step.networks["encoder"](images()).detach().mean(0)
    step(0, images())
    assert torch.allclose(step.networks["generator"].w_avg, 0.005 * w, rtol=1e-4)


# -- running


def test_the_commonest_answers_share_is_of_what_the_classifier_says() -> None:
    step = step_of(RECONSTRUCTING)
    counts = step.classifier(images(7)).argmax(1).bincount()
    assert counts.tolist() == [3, 4]
    assert float(step(0, images(7))["commonest_answer"]) == pytest.approx(4 / 7)


@pytest.mark.slow
def test_a_compiled_step_has_the_same_losses() -> None:
    step, compiled = step_of(CONFIG), step_of(CONFIG)
    compiled.compiled = compile_networks(compiled.networks)
    for number in (0, 1):
        one, other = step(number, images()), compiled(number, images())
        for name in one:
            assert float(one[name]) == pytest.approx(float(other[name]), rel=0.01), name


@pytest.mark.usefixtures("own_precision")
def test_sixteen_bits_stay_finite_and_close() -> None:
    whole = step_of(CONFIG)(0, images())
    AcceleratorState._reset_state(True)
    step = step_of(settings(run={"precision": "bf16"}))
    half = step(0, images())
    for name in ("image_l1", "w_l1", "discriminator", "r1"):
        assert float(half[name]) == pytest.approx(float(whole[name]), rel=0.05), name
    for number in range(1, 5):
        half = step(number, images())
    assert all(torch.isfinite(value) for value in half.values())
    assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in weights(step).values())


def test_without_the_classifier_in_the_loop_what_it_says_teaches_nothing() -> None:
    """Another weight of its loss gives the same update, and its answers are measured all the same."""
    found = []
    for weight in (0.0, 7.0):
        step = step_of(settings(classifier={"in_loop": False}, losses={"agreement": weight, "agreement_random": weight}))
        losses = step(0, images())
        assert losses["agreement"] > 0
        found.append([p.detach().clone() for p in step.networks["generator"].parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
