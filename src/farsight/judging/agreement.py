"""How much methods disagree on a picture: it says where to look first, and never who is better."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def disagreement(named: Sequence[Collection[str]]) -> float:
    """Count the objects that some methods name and others do not, each by how evenly they are divided.

    Parameters
    ----------
    named
        What each method names in one picture.

    Returns
    -------
    Twice the expected number of objects that one of two methods, drawn by lot, names alone: 0 if all name the same, 1
    for an object that one of two names.
    """
    shares = [sum(name in one for one in named) / len(named) for name in set().union(*named)]
    return sum(4 * share * (1 - share) for share in shares)
