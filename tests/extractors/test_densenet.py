"""densenet, with random weights; torchvision beside whatever torch is installed."""

from __future__ import annotations

import hashlib
import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from amid.errors import AmidError
from amid.extractors import Span, densenet
from amid.extractors.densenet import MEAN, PUBLISHED, STD, Options, extract, load_network, square
from amid.media import MediaError, Reason
from amid.networks import vision
from tests.media.clips import NAN

WHOLE = Span("whole", NAN, NAN)


@pytest.fixture(scope="module")
def networks() -> Any:
    if find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed (requirements-paper.txt)")
    return vision.torchvision().models


@pytest.fixture(scope="module")
def whole(networks) -> torch.nn.Module:
    torch.manual_seed(0)
    network = networks.densenet121(weights=None)
    for module in network.modules():  # statistics as of a trained network, not 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="module")
def weights(whole, tmp_path_factory) -> Path:
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("weights") / "densenet.safetensors"
    save_file(whole.state_dict(), path)
    return path


def write_colours(path: Path, frames: int = 12) -> Path:
    """Frames whose colours move, 48 x 64 pixels, 25 a second, without loss."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 25.0, (64, 48))
    rng = np.random.default_rng(0)
    for number in range(frames):
        small = rng.integers(0, 255, (6, 8, 3), np.uint8) // 2 + np.uint8(8 * number % 128)
        writer.write(cv2.resize(small, (64, 48), interpolation=cv2.INTER_NEAREST))
    writer.release()
    return path


def options(weights: Path | None, **values: Any) -> Options:
    chosen = None if weights is None else str(weights)
    return Options(weights=chosen, **{"frames": 2, "size": 64, **values})


def test_an_absent_package_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(vision, "find_spec", lambda name: None)
    path = write_colours(tmp_path / "a.avi")
    with pytest.raises(AmidError, match=r"torchvision, which is not .* requirements-paper\.txt"):
        extract(path, [WHOLE], options(tmp_path / "absent.pth"))


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (200, 300), (64, 64), (301, 33)])
def test_pictures_become_squares_of_their_middle(size):
    columns = (np.arange(size[1]) + 0.5) / size[1] * 200
    image = np.repeat(np.broadcast_to(columns, size)[..., None], 3, 2).astype(np.uint8)
    got = square(image, 64)
    assert got.shape == (64, 64, 3)
    assert got.base is None
    assert abs(float(got.mean()) - 100) < 3
    wide = 200 * min(1.0, size[0] / size[1])  # levels from the left to the right edge
    assert abs(float(got[:, -1].mean()) - float(got[:, 0].mean()) - wide) < 8


def test_impossible_options_are_refused():
    for values in ({"box": [0.5, 0.2, 0, 1]}, {"box": [0, 1, 0, 2]}, {"frames": 0}, {"size": 8}):
        with pytest.raises(ValidationError):
            Options(**values)


def test_missing_operators_are_declared(networks):
    assert len(networks.densenet121(weights=None).features) == 12  # builds
    for name in vision.OPERATORS:
        assert hasattr(torch.ops.torchvision, name)
    assert vision.declare_operators() is vision.declare_operators()
    if vision.declare_operators() is not None:  # declared, not computed
        box, score = torch.zeros(1, 4), torch.zeros(1)
        with pytest.raises(NotImplementedError):
            torch.ops.torchvision.nms(box, score, 0.5)


def test_features_are_means_over_picture_and_frames(whole, weights, tmp_path):
    from amid.media import Pictures
    from amid.media.conversion import colour
    from amid.media.film import read_one

    path = write_colours(tmp_path / "a.avi")
    box = (0.0, 0.75, 0.25, 1.0)
    got = extract(path, [WHOLE], options(weights, frames=3, box=box))[0]
    assert got.shape == densenet.shape(options(weights)) == (1024,)
    assert got.dtype == np.float32

    (frames,) = read_one(path, Pictures([(NAN, NAN, None)], 3, box, convert=colour))
    logits = torch.zeros(1000)
    for frame in frames:
        picture = torch.from_numpy(square(frame, 64)).double() / 255  # (64, 64, 3)
        picture = (picture - torch.tensor(MEAN)) / torch.tensor(STD)
        with torch.no_grad():
            logits += whole(picture.permute(2, 0, 1)[None].float())[0] / 3
    # torchvision's classifier is linear: on the mean feature it gives the mean of the logits.
    with torch.no_grad():
        want = whole.classifier(torch.from_numpy(got))
    np.testing.assert_allclose(want, logits, atol=1e-4)


def test_spans_do_not_touch_each_other(weights, tmp_path):
    path = write_colours(tmp_path / "a.avi")
    spans = [Span("a", 0.0, 0.2), Span("b", 0.2, 0.48), Span("c", 1.0, 9.0)]
    first, second, outside = extract(path, spans, options(weights))
    assert isinstance(outside, MediaError)
    assert outside.reason is Reason.span_outside
    np.testing.assert_array_equal(extract(path, spans[1:2], options(weights))[0], second)
    assert not np.array_equal(first, second)
    load_network.cache_clear()
    np.testing.assert_array_equal(extract(path, spans[:1], options(weights))[0], first)


def test_a_clip_may_have_its_own_part_of_the_picture(weights, tmp_path):
    path = write_colours(tmp_path / "a.avi")
    halves = [(0.0, 1.0, 0.0, 0.5), (0.0, 1.0, 0.5, 1.0)]
    spans = [Span(f"s{side}", NAN, NAN, half) for side, half in enumerate(halves)]
    left, right, again = extract(path, [*spans, spans[0]], options(weights))
    np.testing.assert_array_equal(left, again)
    for half, got in zip(halves, (left, right), strict=True):
        want = extract(path, [WHOLE], options(weights, box=half))[0]
        np.testing.assert_array_equal(got, want)
    inner = extract(path, spans[1:], options(weights, box=(0.0, 0.5, 0.0, 0.5)))[0]
    want = extract(path, [WHOLE], options(weights, box=(0.0, 0.5, 0.5, 0.75)))[0]
    np.testing.assert_array_equal(inner, want)


def test_published_names_and_other_classifiers_are_read(whole, weights, tmp_path):
    state = dict(whole.state_dict())
    for name in list(state):
        if name.endswith("num_batches_tracked"):  # files of that time have none
            del state[name]
        elif "denselayer" in name:
            for part in ("norm1", "norm2", "conv1", "conv2"):
                if f".{part}." in name:
                    state[name.replace(part, f"{part[:-1]}.{part[-1]}")] = state.pop(name)
    state["classifier.weight"] = torch.zeros(7, 1024)
    old = tmp_path / "old.pth"
    torch.save(state, old, _use_new_zipfile_serialization=False)
    path = write_colours(tmp_path / "a.avi")
    got, want = (extract(path, [WHOLE], options(file))[0] for file in (old, weights))
    np.testing.assert_array_equal(got, want)


def test_wrong_weights_are_one_sentence(whole, tmp_path):
    path = write_colours(tmp_path / "a.avi")

    def refused(file: Path) -> str:
        with pytest.raises(AmidError) as caught:
            extract(path, [WHOLE], options(file))
        assert "\n" not in str(caught.value)
        assert file.name in str(caught.value)
        return str(caught.value)

    assert "cannot be read: no such file" in refused(tmp_path / "absent.pth")
    state = whole.state_dict()
    del state["features.norm5.weight"]
    torch.save(state, tmp_path / "less.pth")
    assert "features.norm5.weight is missing" in refused(tmp_path / "less.pth")
    torch.save(whole, tmp_path / "objects.pth")  # a whole network: reading it would run code
    assert "holds other things" in refused(tmp_path / "objects.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps([1, 2]))
    refused(tmp_path / "plain.pth")
    (tmp_path / "damaged.safetensors").write_bytes(b"\x00" * 50)
    refused(tmp_path / "damaged.safetensors")


def test_a_pinned_sum_is_demanded(weights, tmp_path):
    path = write_colours(tmp_path / "a.avi")
    with pytest.raises(AmidError, match=r"have the sha256 [0-9a-f]{64}, not 0{64}"):
        extract(path, [WHOLE], options(weights, sha256="0" * 64))
    right = hashlib.sha256(weights.read_bytes()).hexdigest()
    got, want = (extract(path, [WHOLE], options(weights, sha256=s))[0] for s in (right, None))
    np.testing.assert_array_equal(got, want)


def test_published_file_comes_from_a_mirror_and_is_checked(networks, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    monkeypatch.setenv("AMID_MIRROR", str(mirror))
    path = write_colours(tmp_path / "a.avi")
    with pytest.raises(AmidError, match=r"densenet121-a639ec97\.pth is not in the mirror folder"):
        extract(path, [WHOLE], options(None))
    (mirror / PUBLISHED).write_bytes(b"something else")
    with pytest.raises(AmidError, match="is not the file that torchvision published"):
        extract(path, [WHOLE], options(None))
