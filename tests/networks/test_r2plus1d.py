"""R(2+1)D: torchvision's network by name, shape and count; published weights; parts of a batch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from amid.errors import AmidError
from amid.io.checksums import sha256_file
from amid.networks.r2plus1d import R2Plus1d
from amid.networks.recompute import in_parts

SMALL = {"blocks": 1, "width": 4, "window": 4, "size": 24}
FULL = {"blocks": 2, "width": 64, "window": 16, "size": 112}


def network(options: dict, dim: int) -> R2Plus1d:
    torch.manual_seed(0)
    return R2Plus1d((None, 32, 40, 3), dim, 0.2, options)


def pictures(count: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (count, SMALL["window"], SMALL["size"], SMALL["size"], 3)
    return torch.randint(0, 256, shape, generator=generator).to(torch.uint8)


def test_as_many_parameters_as_torchvision_documents() -> None:
    with torch.device("meta"):
        built = R2Plus1d((None, 128, 171, 3), 512, 0.2, FULL)
    classifier = 512 * 400 + 400  # of Kinetics-400
    assert sum(p.numel() for p in built.parameters()) + classifier == 31_505_325


def test_one_block_a_stage_is_the_smaller_network() -> None:
    with torch.device("meta"):
        built = R2Plus1d((None, 128, 171, 3), 512, 0.2, {**FULL, "blocks": 1})
    assert [len(getattr(built, f"layer{n}")) for n in range(1, 5)] == [1] * 4


@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")
def test_names_and_outputs_are_torchvisions() -> None:
    from amid.networks.vision import torchvision

    torchvision()
    from torchvision.models.video import r2plus1d_18

    theirs = r2plus1d_18(weights=None).eval()
    ours = R2Plus1d((None, 128, 171, 3), 512, 0.2, FULL).eval()
    state = {n: v for n, v in theirs.state_dict().items() if not n.startswith("fc.")}
    assert set(state) == set(ours.state_dict())
    ours.load_state_dict(state)
    theirs.fc = torch.nn.Identity()
    x = torch.randint(0, 256, (1, 4, 32, 32, 3)).to(torch.uint8)
    mean, std = (torch.tensor(v) for v in ((0.4345, 0.4051, 0.3775), (0.2768, 0.2713, 0.2737)))
    with torch.no_grad():
        expected = theirs(((x / 255.0 - mean) / std).permute(0, 4, 1, 2, 3))
        torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)


def test_representation_has_the_length_asked_for() -> None:
    assert network(SMALL, 7)(pictures()).shape == (4, 7)
    assert network(SMALL, 32)(pictures()).shape == (4, 32)  # that of the last stage: no map


def test_weights_are_loaded_but_for_a_classifier(tmp_path: Path) -> None:
    source = network(SMALL, 32)
    state = {**source.state_dict(), "fc.weight": torch.zeros(3, 32)}
    save_file(state, tmp_path / "weights.safetensors")
    file = str(tmp_path / "weights.safetensors")
    named = {**SMALL, "weights": file, "sha256": sha256_file(tmp_path / "weights.safetensors")}
    torch.manual_seed(5)
    other = R2Plus1d((None, 32, 40, 3), 32, 0.2, named)
    assert not torch.equal(other.stem[0].weight, source.stem[0].weight)
    other.prepare(None)
    assert torch.equal(other.layer4[0].conv2[0][3].weight, source.layer4[0].conv2[0][3].weight)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"width": 8}, "of 1 blocks a stage and width 8"), ({"sha256": "0" * 64}, "sha256")],
)
def test_weights_that_do_not_fit_are_refused(change: dict, words: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(network(SMALL, 32).state_dict(), path)
    named = {**SMALL, "weights": str(path), "sha256": sha256_file(path), **change}
    with pytest.raises(AmidError, match=words):
        network(named, 32).prepare(None)


def test_parts_give_the_gradients_and_statistics_of_each_part_once() -> None:
    """By hand: two halves, each forward once, gradients added up."""
    x, weight = pictures(), torch.randn(4, 8, generator=torch.Generator().manual_seed(2))
    by_hand, parted = network(SMALL, 8), network(SMALL, 8)
    (torch.cat([by_hand(half) for half in x.split(2)]) * weight).sum().backward()
    (in_parts(parted, x, 2) * weight).sum().backward()
    for (name, one), other in zip(by_hand.named_parameters(), parted.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, msg=name)
    for (name, one), other in zip(by_hand.named_buffers(), parted.buffers(), strict=True):
        assert torch.equal(other, one), name


def test_parts_do_not_count_where_no_gradient_is_wanted() -> None:
    one = network(SMALL, 8).eval()
    x = pictures()
    assert torch.equal(in_parts(one, x, 2), one(x))
