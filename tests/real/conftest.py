"""SmolLM2-135M: a pretrained model with attention sinks, from a package: `make test-real`, part of `make test-slow`."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import torch
from transformers import PreTrainedModel

from farsight.inputs.checkpoints import LoadedModel
from farsight.inputs.named_models import load
from farsight.inputs.smollm2 import MODULE


@pytest.fixture(scope="session")
def smollm2() -> LoadedModel:
    """As any user loads it."""
    if find_spec(MODULE) is None:
        pytest.skip("its package is not installed: make test-real installs it")
    return load("smollm2", "cpu", None, None)


@pytest.fixture(scope="session")
def reference(smollm2: LoadedModel) -> Iterator[PreTrainedModel]:
    """The same weights in float64, whose attention a test defines."""
    model = copy.deepcopy(smollm2.model).double()
    model.set_attn_implementation("eager")
    yield model
    del model
    gc.collect()


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield
