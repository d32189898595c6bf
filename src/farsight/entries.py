"""What is known by a short name: a table of farsight's own, and what other packages add as Python entry points."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from farsight.errors import InputError

Entry = TypeVar("Entry")


@dataclass(frozen=True, kw_only=True)
class Registry(Generic[Entry]):
    """Names and what they stand for, which is imported when it is asked for.

    Parameters
    ----------
    kind
        The class of which every entry is an instance.
    noun
        What to call one in messages.
    group
        The group of entry points that other packages add theirs to, in their ``pyproject.toml``:
        ``[project.entry-points."farsight.models"]`` with a line ``name = "package.module:ATTRIBUTE"``.
    own
        Names of this distribution, each with its ``module:attribute``; they come first.
    """

    kind: type[Entry]
    noun: str
    group: str
    own: Mapping[str, str]

    def names(self) -> tuple[str, ...]:
        """All names, those of this distribution first."""
        return tuple(dict.fromkeys([*self.own, *sorted(point.name for point in entry_points(group=self.group))]))

    def found(self) -> dict[str, Entry]:
        """All that can be imported, by name."""
        entries = {}
        for name in self.names():
            with suppress(InputError):
                entries[name] = self.find(name)
        return {name: entry for name, entry in entries.items() if entry is not None}

    def find(self, name: str) -> Entry | None:
        """Give what a name stands for, None if it is not known.

        Raises
        ------
        InputError
            If it is known, but its package is missing or broken.
        """
        if name in self.own:
            point = EntryPoint(name, self.own[name], self.group)
        elif not (points := entry_points(group=self.group, name=name)):
            return None
        else:
            point = next(iter(points))
        about = f"the {self.noun} '{name}' is of the package {point.module.partition('.')[0]}"
        try:
            entry = point.load()
        except Exception as error:  # whatever a package raises when it is imported
            why = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise InputError(
                f"{about}, which cannot be imported ({why}); install it, or choose another {self.noun}"
            ) from error
        if not isinstance(entry, self.kind):
            raise InputError(f"{about}, where {point.value} is no {self.kind.__name__}; get another version of it")
        return entry
