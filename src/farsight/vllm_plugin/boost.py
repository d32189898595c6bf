"""First Logit Boosting inside vLLM: its settings in vLLM's ``additional_config``, and what an engine is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from farsight.errors import SettingError, UnsupportedModelError
from farsight.setting_checks import check_settings, check_share, check_strength, setting

NAME = "farsight-flb"
"""The key of ``additional_config``."""
PROCESSOR = "farsight.vllm_plugin.boost_processor:FirstLogits"
"""As vLLM imports it, in each of its processes."""


@dataclass(frozen=True, kw_only=True)
class Boost:
    """How much of its first logits an answer is given; the fields are those of `farsight.FLB`.

    Parameters
    ----------
    gamma, rate, beta
        The settings of `farsight.methods.flb.FLB`.

    Raises
    ------
    SettingError
        If a value has no meaning; the message names it.
    """

    gamma: float = setting(0.3, check_strength)
    rate: float = setting(0.05, check_strength)
    beta: float = setting(0.1, check_share)

    def __post_init__(self) -> None:
        check_settings(self)

    @classmethod
    def read(cls, config: object) -> Boost | None:
        """Read vLLM's ``additional_config``; None if it does not speak of this.

        Raises
        ------
        SettingError
            If its settings are unknown or have no meaning.
        """
        given = config.get(NAME) if isinstance(config, Mapping) else None
        if given is None:
            return None
        if not isinstance(given, Mapping):
            raise SettingError(f"additional_config's '{NAME}' must be settings such as {{'gamma': 0.3}}, got {given!r}")
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in given if name not in known]:
            raise SettingError(f"flb in vLLM has no setting '{unknown[0]}'; choose from {', '.join(known)}")
        return cls(**given)


def with_processor(arguments: Any) -> None:
    """Let an engine with these ``vllm.EngineArgs`` change logits, which vLLM does through processors of its own."""
    others = list(arguments.logits_processors or ())
    if PROCESSOR not in others:
        arguments.logits_processors = [PROCESSOR, *others]


def check_boost(config: Any) -> None:
    """Say why answers could not be boosted as vLLM is about to run a model.

    Parameters
    ----------
    config
        A ``vllm.config.VllmConfig``.

    Raises
    ------
    UnsupportedModelError
        If they could not; the message has the remedy.
    """
    if config.speculative_config is not None:
        raise UnsupportedModelError("flb in vLLM needs the logits of every token: leave out --speculative-config")
    if config.use_v2_model_runner:
        raise UnsupportedModelError(
            "flb in vLLM is not tested with its second model runner: set VLLM_USE_V2_MODEL_RUNNER=0"
        )
