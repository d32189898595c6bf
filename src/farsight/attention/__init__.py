"""Attention of the language model: where its layers are, and the taps with which methods change it or look at it.

`tap` is the one interceptor; `layers` knows where things are in a model; `kernels` has one file per attention
implementation; `names` stands in Transformers' registries; `source` reads what only source code says.
"""

from farsight.attention.layer_call import LayerCall
from farsight.attention.layers import AttentionLayer, LanguageModel, chosen_layers, locate, visual_token_mask
from farsight.attention.refusals import refusal
from farsight.attention.tap import Tap, tapped
from farsight.attention.watching import watched

__all__ = [
    "AttentionLayer",
    "LanguageModel",
    "LayerCall",
    "Tap",
    "chosen_layers",
    "locate",
    "refusal",
    "tapped",
    "visual_token_mask",
    "watched",
]
