"""The page of a race: the verdict, what to do next, the race as a picture, and the pictures that changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from farsight.evaluate.page import thumbnail
from farsight.evaluate.run_folder import Key
from farsight.evaluate.tasks import Item
from farsight.judging.detector import Detected
from farsight.judging.truth import Located, Truth
from farsight.metrics.paired import Difference
from farsight.report.page import Section, Span, Table, Text, page, picture
from farsight.tune.agreement import Agreement
from farsight.tune.counts import FIGURES, SHARES
from farsight.tune.draw import draw_race
from farsight.tune.told import told
from farsight.tune.verdict import NAMES, Verdict, points

MOST = 8
"""Pictures that are shown."""


def verdict_page(
    title: str,
    found: Verdict,
    next_steps: Sequence[tuple[str, str]],
    items: Sequence[Item],
    rows: Mapping[Key, Mapping[str, Any]],
    truth: Truth,
    footer: str,
    notes: Sequence[str] = (),
) -> str:
    """Write the page of a verdict.

    Parameters
    ----------
    title
        The page's heading.
    found
        What came out.
    next_steps
        What one may want to do now, each with its command.
    items
        What plain decoding and the winner were both asked about.
    rows
        The answers by method and item.
    truth
        What is known of the pictures.
    footer
        How it was made.
    notes
        What else is to be known first.
    """
    sections = [_next(next_steps)]
    if found.outcome.final:
        sections.append(_final(found, truth))
    if found.outcome.race.rungs:
        sections.append(_race(found, truth))
    sections += _left_out(found)
    if winner := found.outcome.race.winner:
        changed = [item for item in items if item.kind == "caption"]
        sections += _changed(found.outcome.baseline, [winner], changed, rows, truth)
    return page(title, [f"{found.sentence.replace('->', '→')}{_by(truth)}", *notes], sections, footer=footer)


def agreement_page(
    title: str,
    found: Agreement,
    next_steps: Sequence[tuple[str, str]],
    baseline: str,
    items: Sequence[Item],
    rows: Mapping[Key, Mapping[str, Any]],
    truth: Truth,
    footer: str,
    notes: Sequence[str] = (),
) -> str:
    """Write the page of what methods say of pictures of which nothing is known; parameters as of `verdict_page`."""
    table = Table(
        columns=["method", "same answer", "objects more", "objects less"],
        rows=[
            [told(label), f"{100 * same:.0f} %", f"{found.added[label]:.2f}", f"{found.dropped[label]:.2f}"]
            for label, same in found.same.items()
        ],
    )
    words = (
        "Share of answers that are plain decoding's to the letter; objects of an answer that plain decoding does not "
        f"name, and that only plain decoding names, on average. Which of them are right is not known.{_by(truth)}"
    )
    sections = [_next(next_steps), Section(title="How much the methods disagree", words=words, tables=[table])]
    sections += _left_out(found)
    sections += _changed(baseline, list(found.same), items, rows, truth)
    return page(title, [found.sentence, *notes], sections, footer=footer)


def _next(steps: Sequence[tuple[str, str]]) -> Section:
    texts = [Text(title=what, spans=[Span(command, "code")]) for what, command in steps]
    return Section(title="What to do next", texts=texts)


def _left_out(found: Verdict | Agreement) -> list[Section]:
    rows = [[told(label), reason] for label, reason in found.left_out.items()]
    table = Table(columns=["method", "because"], rows=rows, prose=[1])
    return [Section(title="What did not race", tables=[table])] if found.left_out else []


def final_table(found: Verdict) -> Table:
    """Put the figures of the winner beside plain decoding's, with the guards that are on them."""
    outcome = found.outcome
    guards = {guard.figure: guard for guard in found.guards}
    broken = {guard.figure for guard in outcome.broken}
    rows = []
    for name, one in outcome.final.items():
        held = f"{guards[name].told()}: {'no' if name in broken else 'yes'}" if name in guards else ""
        rows.append([NAMES[name], _figure(one.baseline, name), _figure(one.other, name), points(one), held])
    columns = ["", outcome.baseline, told(str(outcome.race.winner)), "difference", "guard"]
    return Table(columns=columns, rows=rows, prose=[4])


def _by(truth: Truth) -> str:
    """What the figures of a section rest on, if that may be wrong."""
    return f" {truth.sentence[0].upper()}{truth.sentence[1:]}." if isinstance(truth, Detected) else ""


def _final(found: Verdict, truth: Truth) -> Section:
    outcome = found.outcome
    words = (
        f"{told(str(outcome.race.winner))} against plain decoding on {outcome.final['chair_i'].items} pictures that "
        "chose nothing, with paired 95 % bootstrap intervals: in points of a share, in percent of a number. A guard is "
        f"held if the figure is within it; its interval says how sure that is.{_by(truth)}"
    )
    title = "The winner" if outcome.turn_on else "Who came furthest"
    return Section(title=title, words=words, tables=[final_table(found)])


def _race(found: Verdict, truth: Truth) -> Section:
    outcome = found.outcome
    last = outcome.race.last
    names = [name for name in FIGURES if any(name in one.differences for _, one in last.values())]
    rows = []
    for label, (pictures, one) in last.items():
        figures = [_points(one.differences.get(name)) for name in names]
        rows.append([told(label), one.left or "won the race", str(pictures), found.costs[label].told(), *figures])
    words = (
        "After each rung the better half goes on, and who is clearly worse or clearly beyond a guard leaves. The table "
        "has what was known of each method when it left, on the pictures that it was asked about: differences to plain "
        "decoding, in points or percent. These figures chose who was asked about the other pictures, and are no "
        f"result.{_by(truth)}{_tokens(last)}"
    )
    alt = "CHAIR_I of each method minus that of plain decoding after each rung; the table has the figures."
    columns = ["method", "how it ended", "pictures", "time", *(NAMES[name] for name in names)]
    return Section(
        title="The race",
        words=words,
        pictures=[picture(draw_race(outcome), alt)],
        tables=[Table(columns=columns, rows=rows, prose=[1])],
    )


def _tokens(labels: Iterable[str]) -> str:
    """What register tokens are, where there are some."""
    found = next((label for label in labels if told(label) != label), None)
    return "" if found is None else f" {found} is called {told(found)}: so many in front of a prompt do the same."


def _changed(
    baseline: str,
    labels: Sequence[str],
    items: Sequence[Item],
    rows: Mapping[Key, Mapping[str, Any]],
    truth: Truth,
) -> list[Section]:
    """Pictures in which methods name other things than plain decoding, most different ones first."""

    def named(item: Item, label: str) -> set[str]:
        return set(truth.mentions(rows[label, item.item_id]["text"]))

    def difference(item: Item) -> int:
        return max(len(named(item, baseline) ^ named(item, label)) for label in labels)

    asked = [item for item in items if all((label, item.item_id) in rows for label in (baseline, *labels))]
    changed = sorted((item for item in asked if labels and difference(item)), key=difference, reverse=True)
    return [
        Section(
            title=f"{item.part}, {item.image_id}",
            pictures=[] if item.path is None else thumbnail(item.image_id, {item.image_id: item.path}),
            texts=[
                Text(title=", ".join(map(told, alike)), spans=_spans(text, item.image_id, truth))
                for text, alike in _said(item, [baseline, *labels], rows).items()
            ],
            small=True,
        )
        for item in changed[:MOST]
    ]


def _said(item: Item, labels: Sequence[str], rows: Mapping[Key, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Who says what, those together who say the same."""
    said: dict[str, list[str]] = {}
    for label in labels:
        said.setdefault(rows[label, item.item_id]["text"], []).append(label)
    return said


def _spans(text: str, image_id: str, truth: Truth) -> list[Span]:
    """Cut a text at what it names: true, false, or not known."""
    spans, at = [], 0
    kinds = {True: "true", False: "false", None: ""}
    for mention in truth.located(text) if isinstance(truth, Located) else ():
        kind = kinds[truth.verdict(image_id, mention.object)]
        spans += [Span(text[at : mention.start]), Span(text[mention.start : mention.end], kind)]
        at = mention.end
    return [*spans, Span(text[at:])]


def _points(found: Difference | None) -> str:
    return "-" if found is None else points(found)


def _figure(value: float, name: str) -> str:
    return f"{100 * value:.1f} %" if name in SHARES else f"{value:.1f}"
