"""Two descriptions next to each other can be told apart with and without colour, on wide and narrow terminals."""

from io import StringIO
from typing import Any

from rich.console import Console

from farsight.cli.comparison import Side, has_colour, mark_differences, side_by_side

LEFT = Side(title="plain", text="a red ball and a blue kite on the beach", below="9 tokens")
RIGHT = Side(title="farsight", text="a red ball on the sunny beach", below="7 tokens")


def shown(left: Side = LEFT, right: Side = RIGHT, **options: Any) -> str:
    console = Console(file=StringIO(), **({"width": 120, "color_system": "truecolor"} | options))
    console.print(side_by_side(console, left, right))
    return console.file.getvalue()


def test_words_of_one_side_are_marked_where_there_is_no_colour() -> None:
    left, right = mark_differences(LEFT.text, RIGHT.text, colour=False)
    assert left.plain == "a red ball [-and a blue kite-] on the beach"
    assert right.plain == "a red ball on the {+sunny+} beach"


def test_words_of_one_side_are_coloured_where_there_is() -> None:
    left, right = mark_differences(LEFT.text, RIGHT.text, colour=True)
    assert (left.plain, right.plain) == (LEFT.text, RIGHT.text)
    assert [(left.plain[s.start : s.end], str(s.style)) for s in left.spans] == [("and a blue kite", "bold red")]
    assert [(right.plain[s.start : s.end], str(s.style)) for s in right.spans] == [("sunny", "bold green")]


def test_no_text_at_all_can_be_compared() -> None:
    assert [text.plain for text in mark_differences("", "a ball", colour=False)] == ["", "{+a ball+}"]
    assert "identical" in shown(Side(title="a", text="", below=""), Side(title="b", text="", below=""))


def test_a_terminal_gets_colours_and_a_pipe_or_no_color_gets_marks() -> None:
    coloured = shown(force_terminal=True)
    assert "\x1b[1;31mand a blue kite\x1b[0m" in coloured
    assert "[-" not in coloured
    for plain in (shown(force_terminal=False), shown(force_terminal=True, no_color=True)):
        assert "[-and a blue kite-]" in plain
        assert "Only in plain: [-words-]. Only in farsight: {+words+}." in plain
    assert not has_colour(Console(file=StringIO()))


def test_wide_is_side_by_side_and_narrow_is_stacked() -> None:
    assert any("plain" in line and "farsight" in line for line in shown(width=100).splitlines()[:1])
    assert not any("plain" in line and "farsight" in line for line in shown(width=99).splitlines()[:-2])


def test_text_is_never_read_as_markup() -> None:
    side = Side(title="[bold]a", text="[red]x[/red] [/]", below="[i]")
    assert "[red]x[/red] [/]" in shown(side, side)
