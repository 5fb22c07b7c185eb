"""A user's code is run in float64 whatever types it names; what it raises is the user's, what this project raises inside it is not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from stylexport.common.errors import BadInput
from stylexport.parity.compare.hooks import Capture, capturing
from stylexport.parity.ports import Site, user_port, with_outputs
from stylexport.parity.user_code import in_float64, own_code


class Narrow(nn.Module):
    """Names narrower types on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(3, 2)

    def forward(self, bytes_: Tensor) -> Tensor:
        half = torch.full((3,), 1 / 3, dtype=torch.float16)
        return self.dense(bytes_.float() / 255 + half.to(torch.float32) + bytes_ / 7)


GIVEN = torch.tensor([[0, 100, 255], [7, 8, 9]])


def test_narrower_types_are_float64_in_the_float64_run_and_as_they_are_in_the_others() -> None:
    port = user_port("mine", Narrow().double(), lambda x: x, ["x"])
    exact = GIVEN.double() / 255 + 1 / 3 + GIVEN.double() / 7
    found = port.run(port.module, {"x": GIVEN})["0"]
    assert torch.equal(found, port.module.dense(exact))
    assert port.run(Narrow(), {"x": GIVEN})["0"].dtype == torch.float32
    assert torch.get_default_dtype() == torch.float32


def test_a_module_in_16_bits_is_given_16_bits() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        module = nn.Linear(3, 2).to(dtype)
        assert user_port("mine", module, lambda x: x, ["x"]).run(module, {"x": torch.ones(1, 3)})["0"].dtype == dtype


def test_types_mean_what_they_say_to_this_projects_own_code_inside() -> None:
    x = torch.full((2,), 1 / 3, dtype=torch.float64)
    with in_float64(nn.Identity(), [x]):
        with own_code():
            assert x.float().dtype == torch.zeros(1).dtype == torch.float32
        assert x.float().dtype == torch.zeros(1).dtype == torch.float64


def test_what_a_module_raises_or_leaves_with_is_bad_input_and_what_a_hook_of_ours_raises_is_not() -> None:
    class Raises(nn.Module):
        def __init__(self, error: BaseException) -> None:
            super().__init__()
            self.error = error

        def forward(self, x: Tensor) -> Tensor:
            raise self.error

    def run(module: nn.Module) -> None:
        port = with_outputs(user_port("mine", module, lambda x: x, ["x"]), {"0": "0"}, ())
        port.run(module, {"x": torch.ones(1)})

    for error in (RuntimeError("expected Double"), SystemExit(0)):
        with pytest.raises(BadInput, match=f"the module raised {type(error).__name__}"):
            run(Raises(error))

    def mistake(capture: Capture) -> None:
        raise AttributeError("ours")

    module = nn.Sequential(nn.Identity())
    with capturing(module, [Site("0", "0")], mistake), pytest.raises(AttributeError, match="ours"):
        run(module)
