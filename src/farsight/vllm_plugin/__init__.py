"""FarSight inside vLLM: registers of an infinite horizon are one attention-sink logit per head; FLB beside it.

vLLM finds `register` through the entry point group ``vllm.general_plugins``, in every one of its processes. It does
nothing until an engine is started with settings::

    vllm serve llava-hf/llava-1.5-7b-hf --additional-config '{"farsight": {"sigma": 0.8}}'
    vllm.LLM(model, additional_config={"farsight": {"sigma": 0.8}})

Then each causal attention layer of the language model is built with the sinks ``log R = -log(exp(sigma) - 1)``
(FarSight, eq. 1-4, see `farsight.registers`), so that vLLM picks an attention backend that takes sinks. What vLLM does
not compute exactly so is refused when the engine starts. ``"farsight-flb"`` in the config is First Logit Boosting, a
logits processor with one vector for each request. The rest of farsight needs no vLLM.
"""

from .boost import NAME as FLB
from .boost import Boost
from .engine import TESTED, is_tested, register
from .installation import check_installation
from .sinks import NAME, Sinks

__all__ = ["FLB", "NAME", "TESTED", "Boost", "Sinks", "check_installation", "is_tested", "register"]
