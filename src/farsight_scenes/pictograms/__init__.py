"""The objects of the world: one drawing function a category, in unit coordinates."""

from __future__ import annotations

from collections.abc import Callable

from ..pen import Pen
from . import beach, kitchen, park, street

DRAWINGS: dict[str, Callable[[Pen], None]] = {
    "cup": kitchen.cup,
    "teapot": kitchen.teapot,
    "bottle": kitchen.bottle,
    "apple": kitchen.apple,
    "banana": kitchen.banana,
    "clock": kitchen.clock,
    "fork": kitchen.fork,
    "car": street.car,
    "bus": street.bus,
    "truck": street.truck,
    "bicycle": street.bicycle,
    "traffic light": street.traffic_light,
    "hydrant": street.hydrant,
    "cone": street.cone,
    "dog": park.dog,
    "cat": park.cat,
    "bird": park.bird,
    "bench": park.bench,
    "kite": park.kite,
    "ball": park.ball,
    "flower": park.flower,
    "boat": beach.boat,
    "umbrella": beach.umbrella,
    "surfboard": beach.surfboard,
    "crab": beach.crab,
    "bucket": beach.bucket,
    "starfish": beach.starfish,
    "turtle": beach.turtle,
}
