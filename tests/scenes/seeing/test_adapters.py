"""An adapter begins without effect, learns alone, and is the same added to the matrix that it stands beside."""

import torch
from torch import nn

from farsight_scenes.seeing.adapters import adapt, add_adapters


def _layers() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(6, 4, bias=False), nn.SiLU(), nn.Sequential(nn.Linear(4, 5, bias=False)))
    return layers.double()


def test_an_adapter_changes_nothing_until_it_is_trained() -> None:
    layers, states = _layers(), torch.randn(3, 6).double()
    before = layers(states)
    adapters = adapt(layers, 2)
    assert torch.equal(layers(states), before)
    assert {name: tuple(value.shape) for name, value in adapters.items()} == {
        "0.lora_a": (2, 6),
        "0.lora_b": (4, 2),
        "2.0.lora_a": (2, 4),
        "2.0.lora_b": (5, 2),
    }


def test_only_the_adapters_learn() -> None:
    layers = _layers()
    adapters = adapt(layers, 2)
    layers(torch.randn(3, 6).double()).square().mean().backward()
    learning = {name for name, parameter in layers.named_parameters() if parameter.grad is not None}
    assert learning == set(adapters)


def test_a_matrix_that_an_adapter_was_added_to_answers_as_both_did() -> None:
    adapted, whole, states = _layers(), _layers(), torch.randn(3, 6).double()
    adapters = adapt(adapted, 2)
    with torch.no_grad():
        for parameter in adapters.values():
            parameter.normal_()
    untouched = whole(states)
    add_adapters(whole, adapters)
    torch.testing.assert_close(whole(states), adapted(states), atol=1e-6, rtol=0)
    assert not torch.allclose(untouched, whole(states), atol=1e-2)
