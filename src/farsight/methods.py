"""Every method by name: the rows of a comparison, the choices of the command line."""

from __future__ import annotations

from farsight.constant_gate import ConstantGate
from farsight.farsight import FarSight
from farsight.method import Method, Plain
from farsight.rivals.beam_search import BeamSearch

METHODS: dict[str, type[Method]] = {method.name: method for method in (Plain, FarSight, BeamSearch, ConstantGate)}
