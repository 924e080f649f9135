"""The average of weights against the recursion written out, and where it is used."""

from __future__ import annotations

import pytest
import torch

from amid.training.ema import WeightAverage


def test_the_average_is_the_recursion_written_out() -> None:
    weight, count = torch.tensor([1.0]), torch.tensor(0)
    average, want = WeightAverage({"w": weight, "n": count}, window=4), 1.0
    for step in range(1, 60):
        weight += step % 5
        count += 1
        average.update(step)
        decay = min(0.75, step / (step + 9))
        want = decay * want + (1 - decay) * float(weight)
    state = average.state_dict()
    assert state["w"].item() == pytest.approx(want, rel=1e-5)
    assert state["n"].item() == 59  # whole numbers are copied


def test_what_is_averaged_has_its_own_values_again_afterwards() -> None:
    layer = torch.nn.Linear(2, 2)
    before = layer.weight.detach().clone()
    average = WeightAverage(layer.state_dict(), window=100)
    with torch.no_grad():
        layer.weight += 1
    average.update(1)  # a tenth of the former, nine tenths of the new

    def interrupted() -> None:
        with average.applied():
            torch.testing.assert_close(layer.weight.detach(), before + 0.9)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    torch.testing.assert_close(layer.weight.detach(), before + 1)


def test_nothing_to_average_is_no_work() -> None:
    average = WeightAverage({}, 1)
    average.update(1)
    with average.applied():
        assert average.state_dict() == {}


def test_a_restored_average_goes_on_as_the_one_that_was_saved() -> None:
    def trained(average: WeightAverage, weight: torch.Tensor, steps: range) -> None:
        for step in steps:
            weight += step
            average.update(step)

    whole = torch.zeros(1)
    of_whole = WeightAverage({"w": whole}, 3)
    trained(of_whole, whole, range(1, 9))
    first = torch.zeros(1)
    of_first = WeightAverage({"w": first}, 3)
    trained(of_first, first, range(1, 4))
    second = first.clone()
    of_second = WeightAverage({"w": second}, 3)
    of_second.load_state_dict({n: v.clone() for n, v in of_first.state_dict().items()})
    trained(of_second, second, range(4, 9))
    assert torch.equal(of_whole.state_dict()["w"], of_second.state_dict()["w"])
