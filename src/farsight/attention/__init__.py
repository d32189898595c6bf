"""The register gate on every attention implementation that Transformers has.

One file per kernel (`eager`, `sdpa`, `flex`, `flash`), each returning plain attention and its log-sum-exp; `gate`
multiplies; `rows` knows the register mass of each row; `interface` registers names; `switch` puts registers in.
"""

from farsight.attention.gate import ConstantLayerGate, LayerGate
from farsight.attention.interface import refusal
from farsight.attention.observer import observed
from farsight.attention.rows import LayerRegisters, Rows
from farsight.attention.switch import registers_in

__all__ = ["ConstantLayerGate", "LayerGate", "LayerRegisters", "Rows", "observed", "refusal", "registers_in"]
