"""What `make docs` checks in the pages that it has built."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from farsight.methods import METHODS

pytest.importorskip("sphinx")

SITE = Path(__file__).parents[1] / "docs" / "site"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_site_{name}", SITE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def faults(folder: Path, **files: str) -> list[str]:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return list(module("checked_site").faults(folder))


def test_pages_that_keep_to_themselves_are_right(tmp_path: Path) -> None:
    assert not faults(
        tmp_path,
        a_html='<a href="b.html#there">b</a><a href="https://example.org">a link is no request</a>'
        '<img src="data:image/png;base64,"><link rel="stylesheet" href="c.css?v=1"><a href="#">up</a>',
        b_html='<p id="there">',
        c_css="body { background: url(data:image/png;base64,) }",
    )


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://cdn.example.org/x.js">',
        '<script src="//cdn.example.org/x.js">',
        '<link rel="stylesheet" href="https://fonts.example.org/css">',
        '<link rel="preconnect" href="https://fonts.example.org">',
        '<img src="http://example.org/x.png">',
        '<iframe src="https://example.org">',
    ],
)
def test_a_request_to_another_host_is_found(tmp_path: Path, page: str) -> None:
    [fault] = faults(tmp_path, a_html=page)
    assert "from another host" in fault


@pytest.mark.parametrize("style", ["@import 'https://x.org/a.css';", "b { src: url(//x.org/f.woff2) }"])
def test_a_style_that_asks_another_host_is_found(tmp_path: Path, style: str) -> None:
    [fault] = faults(tmp_path, a_css=style)
    assert "from another host" in fault


@pytest.mark.parametrize("link", ["gone.html", "b.html#gone", "#gone", "folder/"])
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, link: str) -> None:
    assert faults(tmp_path, a_html=f'<a href="{link}">', b_html="") == [f"a.html links to {link}, which is not there"]


def test_blocks_for_the_site_are_uncovered_with_the_pages_they_do_not_name(tmp_path: Path) -> None:
    for name in ("index", "one", "two", "three"):
        (tmp_path / f"{name}.md").touch()
    app = type("App", (), {"srcdir": tmp_path})()
    source = ["# Title\n\n<!-- site\ntwo\n(all other pages)\n-->\n"]
    module("site_blocks").uncover(app, "index", source)
    assert source == ["# Title\n\ntwo\none\nthree\n"]
    source = ["# For a code host\n\n<!-- site instead\nonly this\n-->\n"]
    module("site_blocks").uncover(app, "index", source)
    assert source == ["only this"]


def test_an_interval_in_a_table_is_not_broken() -> None:
    source = ["| farsight | **-2.7 [-5.4, -0.1]** |\n\nCHAIR_I -2.7 [-5.4, -0.1] and [a, b]\n| [vcd, icd](page.md) |"]
    module("unbroken_intervals").unbroken(None, "page", source)
    space = "\N{NO-BREAK SPACE}"
    assert source == [
        f"| farsight | **-2.7 [-5.4,{space}-0.1]** |\n\nCHAIR_I -2.7 [-5.4, -0.1] and [a, b]\n| [vcd, icd](page.md) |"
    ]


def test_the_facts_of_a_method_are_those_of_its_class() -> None:
    lines = module("method_pages").facts(METHODS["vcd"]).splitlines()
    rows = dict(line.strip("| ").split(" | ", 1) for line in lines[2:])
    assert rows["class"] == "{py:class}`farsight.methods.vcd.VCD`"
    assert rows["changes"] == "logits"
    assert rows["extra passes"].startswith("1 ")
    assert rows["time"].endswith(" times that of greedy decoding ([how](../benchmarks.md))")
    assert "(farsight.md)" in rows["goes with"]
    assert "(beam.md)" in rows["goes with"]
    alike = next(reason for reason in rows["not with"].split("; ") if reason.endswith("(both change the logits)"))
    assert "[`icd`](icd.md), [`m3id`](m3id.md), [`pai`](pai.md)" in alike
    assert "[`opera`](opera.md) (opera goes with methods that change the gate" in rows["not with"]


@pytest.mark.parametrize("kind", METHODS.values(), ids=lambda kind: kind.name)
def test_every_method_has_facts(kind: type) -> None:
    assert len(module("method_pages").facts(kind).splitlines()) == 9


def test_a_notebook_becomes_a_page(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "words"]},
        {
            "cell_type": "code",
            "source": ["1 + 1"],
            "outputs": [
                {"output_type": "execute_result", "data": {"text/plain": ["2"]}},
                {"output_type": "display_data", "data": {"image/png": "aGVsbG8="}, "metadata": {"alt": "a drawing"}},
            ],
        },
    ]
    text = module("notebook_pages").page({"cells": cells}, tmp_path, "name")
    assert text.startswith("# Title\n\nwords\n")
    assert "```python\n1 + 1\n```\n\n```text\n2\n```" in text
    assert "![a drawing](name_1_1.png)" in text
    assert (tmp_path / "name_1_1.png").read_bytes() == b"hello"
