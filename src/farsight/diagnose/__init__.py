"""See why: where attention collapses, how it leaves the picture, what registers absorb, where each word looks.

::

    from farsight.diagnose import diagnose

    plain, farsight = diagnose(loaded, image, "Describe this image.", {"plain": Plain(), "farsight": FarSight()})
    plain.arrays["image"]  # attention of each row on the picture, (layers, heads, slots)
"""

from farsight.diagnose.diagnosis import Diagnosis, diagnose

__all__ = ["Diagnosis", "diagnose"]
