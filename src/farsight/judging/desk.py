"""What a judge has before them: pictures one by one, each with all that any method named in it, and no word of who."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from farsight.judging.answers import Answers, Picture
from farsight.judging.figures import Figures, figures
from farsight.judging.judged import Judged, Names
from farsight.judging.judgements import Judgement, Judgements, Verdict, latest
from farsight.judging.kappa import Kappa, kappas
from farsight.judging.merges import Merges
from farsight.metrics.vocabulary import Mention


@dataclass(frozen=True, kw_only=True)
class Desk:
    """One judge at work.

    Parameters
    ----------
    answers
        What was said about which pictures.
    names
        Finds objects in it.
    judgements
        The file in which verdicts are kept.
    others
        Files of other judges, which are read only.
    merges
        The file in which synonyms are kept.
    judge
        The name of who judges.
    """

    answers: Answers
    names: Names
    judgements: Judgements
    merges: Merges
    judge: str
    others: Sequence[Judgements] = ()

    @cached_property
    def pictures(self) -> tuple[Picture, ...]:
        """Those in which something is named, in the order of a lot, the same for all judges.

        So the pictures that somebody judged who stopped half-way stand for all.
        """
        named = [one for one in self.answers.pictures if any(self._named(one))]
        return tuple(sorted(named, key=lambda one: hashlib.sha256(one.image_id.encode()).digest()))

    def objects(self, picture: Picture) -> list[str]:
        """What any method names in a picture, in the order of the alphabet, which says nothing of who named it."""
        same = self.merges.read()
        return sorted({same.get(name, name) for one in self._named(picture) for name in one})

    @property
    def words(self) -> list[str]:
        """All objects that are named anywhere, besides those that stand for others."""
        return sorted({name for one in self.pictures for name in self.objects(one)})

    def verdicts(self) -> dict[tuple[str, str], Verdict]:
        """What this judge has said, by picture and what the object is called now."""
        same = self.merges.read()
        mine = [one for one in self.judgements.read() if one.judge == self.judge]
        return {(one.image_id, same.get(one.object, one.object)): one.verdict for one in mine}

    def left(self) -> list[int]:
        """Pictures in which something is still to be judged, by their place among `pictures`."""
        said = self.verdicts()
        return [
            number
            for number, one in enumerate(self.pictures)
            if any((one.image_id, name) not in said for name in self.objects(one))
        ]

    def known(self) -> tuple[int, int]:
        """How many objects of pictures are known to be there or not, and how many are named, by whatever method."""
        truth = self.truth()
        found = [truth.verdict(one.image_id, name) for one in self.pictures for name in self.objects(one)]
        return len(found) - found.count(None), len(found)

    def judge_object(self, picture: Picture, name: str, verdict: Verdict) -> None:
        """Write down a verdict."""
        self.judgements.append([Judgement(picture.image_id, name, verdict, self.judge)])

    def truth(self) -> Judged:
        """What all judges know."""
        return Judged(judgements=self.all_judgements(), names=self, same=self.merges.read())

    def mentions(self, text: str) -> list[Mention]:
        """Objects that an answer names, looked for once."""
        if text not in self._mentions:
            self._mentions[text] = self.names.mentions(text)
        return self._mentions[text]

    def all_judgements(self) -> list[Judgement]:
        """Rows of this file and of the others; a judge of the same name in another file is another judge."""
        rows = list(self.judgements.read())
        for other in self.others:
            rows += [one._replace(judge=f"{one.judge} ({other.path.name})") for one in other.read()]
        return latest(rows)

    def figures(self) -> list[Figures]:
        """Of each method, so far."""
        return figures(self.answers, self.truth())

    def kappas(self) -> list[Kappa]:
        """How far judges agree; what stands for the same is the same."""
        return kappas(self.truth().said)

    def record(self) -> dict[str, Any]:
        """Give all figures for a JSON file."""
        return {
            "pictures": len(self.pictures),
            "pictures_left": len(self.left()),
            "baseline": self.answers.methods[0],
            "methods": {one.method: one.record() for one in self.figures()},
            "judges": [one.record() for one in self.kappas()],
            "left_out": dict(self.answers.left_out),
        }

    def _named(self, picture: Picture) -> list[set[str]]:
        """What each method names."""
        if picture.image_id not in self._names_in:
            self._names_in[picture.image_id] = [
                {mention.object for text in texts for mention in self.mentions(text)}
                for texts in picture.answers.values()
            ]
        return self._names_in[picture.image_id]

    @cached_property
    def _names_in(self) -> dict[str, list[set[str]]]:
        return {}

    @cached_property
    def _mentions(self) -> dict[str, list[Mention]]:
        return {}
