"""Any PyTorch classifier can be explained; what is done to its images is explicit, and a wrong file is named."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import densenet121

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.torch_models import StylEx
from stylexport.torch_models.classifiers.open import IMAGENET, digest, looks_like_probabilities, open_classifier, recorded
from stylexport.torch_models.classifiers.preprocessing import Preprocessing

RNG = np.random.default_rng(5)
IMAGES = torch.tensor(np.tanh(RNG.normal(size=(2, 3, 32, 32))), dtype=torch.float32)


class Small(nn.Module):
    """Mean colours to `labels` logits."""

    def __init__(self, labels: int = 3) -> None:
        super().__init__()
        self.head = nn.Linear(3, labels)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.head(images.mean((2, 3)))
        return found


class OfTransformers(Small):
    def forward(self, images: Tensor) -> Tensor:
        class Output:
            logits = super(OfTransformers, self).forward(images)

        return Output  # type: ignore[return-value]


def small() -> nn.Module:
    return Small()


def one_logit() -> nn.Module:
    torch.manual_seed(2)
    return Small(1)


def of_transformers() -> nn.Module:
    torch.manual_seed(3)
    return OfTransformers()


def pixels() -> nn.Module:
    return nn.Identity()


def text() -> str:
    return "no module"


HERE = "tests.torch_models.test_classifiers"


@pytest.fixture(scope="module")
def densenet() -> nn.Module:
    torch.manual_seed(4)
    return densenet121(weights=None, num_classes=5).eval()


def test_the_models_own_classifier_is_what_is_explained_where_none_is_named(converted: Path) -> None:
    own = StylEx.from_pretrained(converted).classifier
    assert own is not None
    classifier = open_classifier(None, own=own)
    torch.testing.assert_close(classifier(IMAGES), own(IMAGES), rtol=0, atol=0)
    assert classifier.spec == "own"


def test_a_converted_folders_classifier_is_given_images_of_its_resolution(converted: Path) -> None:
    own = StylEx.from_pretrained(converted).classifier
    assert own is not None
    large = F.interpolate(IMAGES, (48, 48))
    found = open_classifier(str(converted))(large)
    expected = own(F.interpolate(large, (32, 32), mode="bilinear", antialias=True))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_torchvisions_densenet_gets_its_weights_its_classes_and_what_imagenet_did(tmp_path: Path, densenet: nn.Module) -> None:
    save_file(densenet.state_dict(), tmp_path / "w.safetensors")
    classifier = open_classifier("torchvision:densenet121", weights=tmp_path / "w.safetensors")
    prepared = F.interpolate(IMAGES / 2 + 0.5, (224, 224), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = densenet((prepared - mean) / std)
    assert expected.shape == (2, 5)
    torch.testing.assert_close(classifier(IMAGES), expected, rtol=1e-4, atol=1e-4)
    assert digest(classifier.module) == digest(densenet)
    assert classifier.preprocessing == IMAGENET


def test_the_published_densenets_old_names_are_known(tmp_path: Path, densenet: nn.Module) -> None:
    old = {name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value for name, value in densenet.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save({"state_dict": old}, tmp_path / "w.pth")
    assert digest(open_classifier("torchvision:densenet121", weights=tmp_path / "w.pth").module) == digest(densenet)


def test_torchvision_without_weights_is_refused() -> None:
    with pytest.raises(BadInput, match="name its weights by --weights FILE; random weights have nothing to explain"):
        open_classifier("torchvision:densenet121")


def test_a_name_that_torchvision_does_not_have_is_refused() -> None:
    with pytest.raises(BadInput, match="torchvision has no 'fasterrcnn_resnet50_fpn' among its classifiers"):
        open_classifier("torchvision:fasterrcnn_resnet50_fpn")


@pytest.mark.parametrize("wrap", [dict, lambda s: {"state_dict": s}, lambda s: {f"module.{n}": v for n, v in s.items()}])
def test_a_function_of_the_users_is_filled_from_a_state_dict_however_it_is_wrapped(tmp_path: Path, wrap: type[dict[str, Tensor]]) -> None:
    trained = Small()
    torch.save(wrap(trained.state_dict()), tmp_path / "w.pt")
    found = open_classifier(f"{HERE}:small", weights=tmp_path / "w.pt")
    torch.testing.assert_close(found(IMAGES), trained(IMAGES), rtol=0, atol=0)


def test_one_logit_is_explained_as_two_whose_softmax_is_its_sigmoid() -> None:
    z = one_logit()(IMAGES)
    found = open_classifier(f"{HERE}:one_logit")(IMAGES)
    assert found.shape == (2, 2)
    torch.testing.assert_close(found.softmax(1)[:, 1:], z.sigmoid())
    torch.testing.assert_close(found[:, 1:] - found[:, :1], z)


def test_logits_in_an_output_object_are_taken_out() -> None:
    assert open_classifier(f"{HERE}:of_transformers")(IMAGES).shape == (2, 3)


def test_a_module_that_gives_no_logits_is_refused_with_what_it_gave() -> None:
    with pytest.raises(BadInput, match=r"gives \[2, 3, 32, 32\] for 2 images; raw logits \[N, labels\] are needed"):
        open_classifier(f"{HERE}:pixels")(IMAGES)


def test_a_file_that_would_run_code_is_not_read(tmp_path: Path) -> None:
    torch.save(Small(), tmp_path / "whole.pt")
    with pytest.raises(BadInput, match=r"whole\.pt: holds more than tensors, and is not read; save model\.state_dict\(\) alone"):
        open_classifier(f"{HERE}:small", weights=tmp_path / "whole.pt")


def test_weights_of_another_network_are_refused_with_the_tensors_named(tmp_path: Path) -> None:
    save_file({"head.weight": torch.zeros(4, 3), "tail.bias": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(
        BadInput, match=r"it lacks head\.bias; the module lacks tail\.bias; of another shape: head\.weight \[4, 3\] for \[3, 3\]"
    ):
        open_classifier(f"{HERE}:small", weights=tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_a_damaged_file_of_weights_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(DamagedFile, match=f"{name}: cannot be read"):
        open_classifier(f"{HERE}:small", weights=tmp_path / name)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nowhere", "is not a folder here, and not torchvision:NAME or PACKAGE:BUILD"),
        ("no_such_package:build", "No module named 'no_such_package'"),
        (f"{HERE}:nothing", "has no attribute 'nothing'"),
        (f"{HERE}:text", "returned a str, not a torch.nn.Module"),
        ("math:sqrt", "raised TypeError"),
    ],
)
def test_a_classifier_that_is_not_there_is_one_clear_error(spec: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        open_classifier(spec)


def test_channels_are_turned_and_weighed_as_asked() -> None:
    pixel = torch.tensor([0.1, 0.5, 0.9]).view(1, 3, 1, 1)  # in [0, 1]
    turned = Preprocessing(channels="BGR", mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 8.0))(pixel, (0.0, 1.0))
    torch.testing.assert_close(turned.flatten(), torch.tensor([-0.05, -0.375, -0.3625]))
    luma = Preprocessing(range=(0.0, 255.0), channels="L")(pixel, (0.0, 1.0))
    torch.testing.assert_close(luma.flatten(), torch.tensor([255 * (0.0299 + 0.2935 + 0.1026)]))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"channels": "RGBA"}, "channels are RGB, BGR, L"),
        ({"mean": (0.5, 0.5)}, "mean: 2 numbers for 3 channels"),
        ({"std": (1.0, 0.0, 1.0)}, "not positive"),
        ({"range": (1.0, 0.0)}, "does not run from black up to white"),
    ],
)
def test_a_preprocessing_that_cannot_be_is_refused(fields: dict[str, tuple[float, ...]], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        open_classifier(f"{HERE}:small", changes=fields)


def test_what_a_run_records_opens_the_same_classifier_again(tmp_path: Path) -> None:
    save_file(Small().state_dict(), tmp_path / "w.safetensors")
    changes = {"size": (20, 16), "range": (0.0, 1.0), "channels": "BGR", "mean": (0.1, 0.2, 0.3), "std": (0.5,)}
    first = open_classifier(f"{HERE}:small", weights=tmp_path / "w.safetensors", changes=changes)
    again = open_classifier(**recorded(first.to_json()))
    assert again.preprocessing == first.preprocessing
    torch.testing.assert_close(again(IMAGES), first(IMAGES), rtol=0, atol=0)


def test_probabilities_are_told_from_logits() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -4.0]])
    assert looks_like_probabilities(logits.softmax(1))
    assert not looks_like_probabilities(logits)
    assert not looks_like_probabilities(torch.tensor([[0.2, 0.3]]))
