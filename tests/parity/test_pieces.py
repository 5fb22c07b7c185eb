"""One layer of the port for several of the original: their values side by side are its tensor, and what is made of them is judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stylexport.parity.proof import verify_module
from stylexport.parity.result import Report

pytestmark = pytest.mark.tensorflow

TABLE = """network: n
tensors:
  - {tf: [mha/query/kernel, mha/key/kernel, mha/value/kernel], torch: qkv.weight, layout: heads}
  - {tf: [mha/query/bias, mha/key/bias, mha/value/bias], torch: qkv.bias, layout: heads_bias}
  - {tf: mha/attention_output/kernel, torch: proj.weight, layout: heads_out}
  - {tf: mha/attention_output/bias, torch: proj.bias}
  - {tf: [one/kernel, two/kernel], torch: both.weight, layout: conv}
  - {tf: [one/bias, two/bias], torch: both.bias}
"""


class Joined(nn.Module):
    """An attention as timm writes it, called on two inputs; and two convolutions of one input as one."""

    def __init__(self, order: tuple[int, ...] = (0, 1, 2)) -> None:
        super().__init__()
        self.qkv, self.proj, self.both, self.order = nn.Linear(6, 24), nn.Linear(8, 6), nn.Conv2d(2, 7, 3, padding=1), order

    def forward(self, a: Tensor, b: Tensor, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        one, two = self.both(image.permute(0, 3, 1, 2)).split((3, 4), 1)
        return self.attend(a), self.attend(b), torch.cat([one.relu(), two.tanh()], 1)

    def attend(self, x: Tensor) -> Tensor:
        operands = self.qkv(x).reshape(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4)
        q, k, v = (operands[i] for i in self.order)
        return self.proj(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two calls of an attention, and two convolutions of one input."""
    import keras
    import tensorflow as tf

    from stylexport.reference_tf.record import record

    folder, rng = tmp_path_factory.mktemp("pieces"), np.random.default_rng(3)
    a, b, image = keras.Input((5, 6)), keras.Input((5, 6)), keras.Input((4, 6, 2))
    mha = keras.layers.MultiHeadAttention(2, 4, name="mha")
    one = keras.layers.Conv2D(3, 3, padding="same", activation="relu", name="one")(image)
    two = keras.layers.Conv2D(4, 3, padding="same", activation="tanh", name="two")(image)
    model = keras.Model([a, b, image], [mha(a, a), mha(b, b), keras.layers.Concatenate()([one, two])])
    for variable in model.weights:
        if variable.path.startswith(("mha", "one", "two")):
            variable.assign(rng.normal(0, 0.5, variable.shape))
    tf.saved_model.save(model, str(folder / "model"))
    (folder / "table.yaml").write_text(TABLE)
    record(folder / "model", folder / "recording", mapping=folder / "table.yaml")
    return folder / "recording"


def _verified(module: nn.Module, recording: Path) -> Report:
    return verify_module(module.eval(), recording)


def test_a_layer_for_several_passes_in_each_of_its_calls(recorded: Path) -> None:
    report = _verified(Joined(), recorded)
    assert report.verdict == "pass"
    assert {layer.name: layer.shape for layer in report.layers if layer.name in ("qkv", "both")} == {
        "qkv": (8, 5, 24),
        "both": (8, 4, 6, 7),
    }


def test_what_is_made_of_the_parts_is_judged_and_named(recorded: Path) -> None:
    fault = _verified(Joined(order=(1, 0, 2)), recorded).first_fault
    assert fault is not None
    assert (fault.layer, fault.cause) == ("proj", "attention")


def test_a_wrong_layer_for_several_is_a_fault_of_that_layer(recorded: Path) -> None:
    port = Joined()
    port.both = nn.Conv2d(2, 7, 3, padding=1, padding_mode="reflect")
    fault = _verified(port, recorded).first_fault
    assert fault is not None
    assert fault.layer == "both"
