"""States by name: what is registered is saved and restored, and nothing else is touched."""

from __future__ import annotations

import pytest
import torch

from amid.training.run_state import OptimizerState, RunState, StateRegistry, strip_prefix


def trained(steps: int) -> tuple[torch.nn.Linear, torch.optim.Adam]:
    """A layer and its optimiser after so many steps."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        layer(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()
    return layer, optimizer


def test_objects_are_restored_by_name_and_train_on_alike() -> None:
    layer, optimizer = trained(3)
    registry = StateRegistry(layer=layer)
    registry.register("optimizer", OptimizerState(optimizer))
    saved = {name: value.clone() for name, value in registry.state_dict().items()}
    assert {"layer.weight", "layer.bias", "optimizer.0.exp_avg", "optimizer.1.step"} <= set(saved)
    other, its = trained(0)
    fresh = StateRegistry(layer=other, optimizer=OptimizerState(its))
    fresh.load_state_dict(
        {**saved, "layer2.weight": torch.zeros(9), "best.layer.bias": saved["layer.bias"]}
    )
    for one, steps in ((layer, optimizer), (other, its)):
        steps.zero_grad()
        one(torch.ones(1, 3)).sum().backward()
        steps.step()
    assert torch.equal(layer.weight, other.weight)
    assert torch.equal(layer.bias, other.bias)


def test_an_object_that_the_state_lacks_keeps_its_own() -> None:
    layer, _ = trained(2)
    before = layer.weight.clone()
    StateRegistry(layer=layer).load_state_dict({"other.weight": torch.zeros(2, 3)})
    assert torch.equal(layer.weight, before)


def test_a_name_stands_for_one_object() -> None:
    registry = StateRegistry(layer=trained(0)[0])
    with pytest.raises(ValueError, match="'layer' is registered already"):
        registry.register("layer", trained(0)[0])


def test_a_prefix_ends_at_its_dot() -> None:
    assert strip_prefix("a.b", {"a.b.c.d": 1, "a.bc.d": 2, "a.b": 3, "x.a.b.c": 4}) == {"c.d": 1}


def test_a_run_state_is_restored_from_its_tensors_and_numbers() -> None:
    state = RunState(epoch=2, position=3, best_epoch=1, history=[{"x": 0.5}, {"x": 1.0}])
    state.sums, state.best = {"loss": torch.tensor(1.5)}, {"networks.w": torch.ones(2)}
    state.random = {"cpu": torch.get_rng_state()}
    tensors, numbers = state.tensors(), state.numbers()
    assert set(tensors) == {"sums.loss", "best.networks.w", "random.cpu"}
    restored = RunState.restore(
        {**tensors, "networks.w": torch.zeros(2)}, numbers, torch.device("cpu")
    )
    assert restored.numbers() == numbers
    assert restored.tensors().keys() == tensors.keys()
    assert all(torch.equal(restored.tensors()[name], tensors[name]) for name in tensors)
