"""Methods are written as people write them, and a slip of the pen gets a suggestion."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_grid import ROWS

import farsight
from farsight import ICD, DeCo, DoLa, FarSight, InputError, Method, Plain, SettingError
from farsight.methods.beam_search import BeamSearch
from farsight.methods.grammar import label_of, load_method, parse_method, parse_methods, read_methods


def test_names_and_parameters_make_methods_by_label() -> None:
    assert parse_methods("greedy, farsight ,farsight(sigma=0.1, rows=generated), beam(num_beams=3)") == {
        "greedy": Plain(),
        "farsight": FarSight(),
        "farsight(sigma=0.1, rows=generated)": FarSight(sigma=0.1, rows="generated"),
        "beam(num_beams=3)": BeamSearch(num_beams=3),
    }


def test_methods_are_composed_with_a_plus_in_any_order() -> None:
    composed = FarSight(sigma=0.1) + BeamSearch(num_beams=3)
    assert parse_methods("farsight(sigma=1e-1) + beam(num_beams=3), beam+farsight, farsight(sigma=1e+0)") == {
        "farsight(sigma=0.1)+beam(num_beams=3)": composed,
        "farsight+beam": FarSight() + BeamSearch(),
        "farsight(sigma=1.0)": FarSight(sigma=1.0),
    }
    assert parse_method("beam(num_beams=3)+farsight(sigma=0.1)") == composed


def test_lists_and_words_are_values() -> None:
    [method] = parse_methods("farsight(layers=[0, 1], horizon='infinite', slopes=alibi)").values()
    assert method == FarSight(layers=(0, 1), horizon="infinite", slopes="alibi")


@pytest.mark.parametrize(
    ("written", "method"),
    [
        ("farsight(layers=0-3)", FarSight(layers=(0, 1, 2, 3))),
        ("farsight(layers=[0, 2-3, 7], heads=2)", FarSight(layers=(0, 2, 3, 7), heads=(2,))),
        ("dola(layers=0-1)", DoLa(layers=(0, 1))),
        ("dola(layers=high)", DoLa(layers="high")),
        ("deco(layers=[0-1])", DeCo(layers=(0, 1))),
        ("icd(prefix=0-3)", ICD(prefix="0-3")),
    ],
)
def test_indices_may_be_ranges_where_a_list_is_asked_for(written: str, method: Method) -> None:
    assert parse_method(written) == method


@pytest.mark.parametrize(
    "method",
    [
        *ROWS.values(),
        FarSight(sigma=0.1) + parse_method("beam(num_beams=2)") + parse_method("vcd"),
        FarSight(sigma=1, strength=((1.0, 2.0), (0.5, 1.5)), layers=(0, 4), slopes="alibi"),
        *[
            ICD(prefix=text)
            for text in (
                "don't",
                "a, b",
                "a+b",
                "(",
                "'",
                '"',
                'it\'s "so"',
                "back\\",
                "a\nb",
                " a ",
                "1",
                "None",
                "ä=é",
            )
        ],
    ],
    ids=label_of,
)
def test_a_label_is_read_back_as_its_method(method: Method) -> None:
    assert farsight.parse_method(label_of(method)) == method
    assert list(parse_methods(f"beam(num_beams=9), {label_of(method)}")) == ["beam(num_beams=9)", label_of(method)]


def test_numbers_are_labelled_as_a_person_writes_them() -> None:
    assert label_of(FarSight(sigma=0.1 + 0.2, strength=1e-7)) == "farsight(sigma=0.3, strength=1e-07)"
    assert label_of(FarSight(strength=(0.1 + 0.2, 1.0))) == "farsight(strength=[0.3, 1.0])"


def test_methods_are_read_from_a_file_that_is_named_with_an_at_sign(tmp_path: Path) -> None:
    file = tmp_path / "methods.yaml"
    file.write_text("- greedy\n- {method: farsight, sigma: 0.2, layers: 0-1, label: tuned}\n")
    assert parse_methods(f"@{file}") == {"greedy": Plain(), "tuned": FarSight(sigma=0.2, layers=(0, 1))}
    assert list(parse_methods(f"beam, @{file},deco")) == ["beam", "greedy", "tuned", "deco"]
    with pytest.raises(SettingError, match="has 2 methods, and one is asked for"):
        parse_method(f"@{file}")
    for text in ("{method: farsight, sigma: 0.2}", "- farsight(sigma=0.2)", "methods: [farsight(sigma=0.2)]"):
        file.write_text(text)
        assert parse_method(f"@{file}") == FarSight(sigma=0.2)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("farsigt", "did you mean 'farsight'"),
        ("farsight(sigm=1)", "no setting 'sigm', did you mean 'sigma'"),
        ("plain(sigma=1)", "it has none"),
        ("farsight(0.1)", "'0.1' in 'farsight\\(0.1\\)' is not a parameter"),
        ("farsight(sigma=-1)", "sigma must be"),
        ("far sight", "is not a method"),
        ("farsight+beem", "did you mean 'beam'"),
        ("beam+opera", "beam and opera both change the search"),
        ("greedy+beam", "plain changes nothing"),
        ("beam+", "ends with nothing"),
        ("greedy,greedy", "'greedy' is given twice"),
        (" ", "no methods"),
        ("farsight(sigma=1, sigma=2)", "has sigma twice"),
        ("farsight(sigma=" + "9" * 6000 + ")", "sigma must be a finite number"),
        ("farsight(sigma=1e400)", "sigma must be a finite number"),
        ("farsight(sigma=1j)", "sigma must be a finite number"),
        ("farsight(horizon=" + "9" * 101 + ")", "horizon must be"),
        ("farsight(layers=" + "[" * 1000 + "]" * 1000 + ")", "layers must be"),
        ("farsight(strength=" + "[" * 60 + "]" * 60 + ")", "strength must be"),
        ("farsight(sigma=" + "-" * 50_000 + "1)", "sigma must be"),
        ("farsight(load=[1, 2])", "load must be the name of a file"),
        ("farsight(", "is not a method"),
        ("farsight" + " " * 100_000 + "!", "is not a method"),
        ("+".join(["farsight"] * 2000), "composed with itself"),
        (f"beam(num_beams={'9' * 101})", "num_beams must be"),
    ],
    ids=lambda value: value[:40],
)
def test_a_wrong_method_is_refused_with_the_remedy(text: str, problem: str) -> None:
    with pytest.raises(SettingError, match=problem):
        parse_methods(text)


def test_yaml_has_a_list_of_methods_with_labels(tmp_path: Path) -> None:
    file = tmp_path / "methods.yaml"
    file.write_text(
        "methods:\n  - greedy\n  - farsight(sigma=0.2)\n"
        "  - {method: farsight, sigma: 0.1, layers: [0, 1], label: weak}\n"
        "  - {method: farsight+beam(num_beams=3), label: both}\n"
    )
    assert read_methods(file) == {
        "greedy": Plain(),
        "farsight(sigma=0.2)": FarSight(sigma=0.2),
        "weak": FarSight(sigma=0.1, layers=(0, 1)),
        "both": FarSight() + BeamSearch(num_beams=3),
    }


def test_a_comma_in_quotes_is_part_of_the_text_and_an_apostrophe_is_no_quote() -> None:
    methods = parse_methods("icd(prefix='You are, perhaps, confused.'), icd(prefix=don't), greedy")
    assert list(methods) == ["icd(prefix='You are, perhaps, confused.')", "icd(prefix=don't)", "greedy"]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("- {method: farsight, null: 1}", "None is not the name of a setting"),
        ("- {method: farsight, true: 1}", "True is not the name of a setting"),
        ("- {method: farsight, 3: 1}", "3 is not the name of a setting"),
        ("- {method: farsight, load: [a, b]}", "load must be the name of a file"),
        ("- {method: farsight, label: [a]}", "its label is .*not text"),
        ("- {method: farsight, sigma: 2001-01-01}", "sigma must be a finite number"),
        ("- {method: farsight, layers: {a: b}}", "layers must be"),
        ("- {method: farsight, strength: [[1], [1, 2]]}", "strength must be"),
        ("- {method: farsight, sigma: 0.1, sigma: 0.2}", "'sigma' is there twice"),
        ("- {method: [farsight]}", "neither a name nor a mapping"),
        ("- {1: farsight}", "neither a name nor a mapping"),
        ("- ''", "is not a method"),
        ("- null", "neither a name nor a mapping"),
    ],
)
def test_an_odd_entry_is_one_line_with_its_number(tmp_path: Path, entry: str, problem: str) -> None:
    file = tmp_path / "methods.yaml"
    file.write_text(f"- greedy\n{entry}\n")
    with pytest.raises((InputError, SettingError), match=rf"methods\.yaml: .*{problem}") as caught:
        read_methods(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "a: 1", "- [1]", "- {sigma: 1}", "- 'x\n", "!!python/object:os.system []"])
def test_yaml_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "methods.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"methods\.yaml"):
        read_methods(file)


def test_parameters_beside_a_composed_method_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "methods.yaml"
    file.write_text("- {method: farsight+beam, sigma: 0.1}")
    with pytest.raises(SettingError, match="in brackets"):
        read_methods(file)


def test_a_method_is_loaded_from_the_file_that_commands_take_with_an_at_sign(tmp_path: Path) -> None:
    file = tmp_path / "method.yaml"
    file.write_text("method: farsight\nsigma: 0.1\nrows: generated\n")
    assert (
        load_method(file) == load_method(str(file)) == parse_method(f"@{file}") == FarSight(sigma=0.1, rows="generated")
    )
    file.write_text("- greedy\n- farsight\n")
    with pytest.raises(SettingError, match="has 2 methods, and one is asked for"):
        load_method(file)


def test_layers_in_a_row_are_written_as_a_range_that_is_read_back() -> None:
    method = parse_method("farsight(layers=[0, 1, 2, 3, 7])")
    assert label_of(method) == "farsight(layers=[0, 1, 2, 3, 7])"
    method = parse_method("farsight(layers=[2, 3, 4, 5])")
    assert label_of(method) == "farsight(layers=2-5)"
    assert parse_method(label_of(method)) == method
