"""A chat template is a program of somebody else's: what it writes is Transformers' text, and it can do no harm."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from tiny_checkpoint import save_tiny_llava

from farsight.errors import InputError
from farsight.inputs import chat_templates, checkpoints
from farsight.inputs.chat_templates import tokenized, written
from farsight.inputs.prompts import chat, picture_inputs, prompt_inputs

RED = Image.new("RGB", (40, 30), "red")
BLUE = Image.new("RGB", (20, 30), "blue")
TALK = [
    {"role": "system", "content": [{"type": "text", "text": "Be brief."}], "tool_calls": None},
    {"role": "user", "content": [{"type": "image", "image": RED}, {"type": "text", "text": "Who's <there>? é"}]},
]
LOOP = "{% for one in range(99999) %}{% for other in range(99999) %}{% endfor %}{% endfor %}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("tiny-llava"))


@pytest.fixture
def processor(folder: Path) -> Any:
    return transformers.AutoProcessor.from_pretrained(folder)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_templates, "MOST_SECONDS", 1.0)


@pytest.mark.parametrize(
    "template",
    [
        None,
        "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: {{ m['content'] | tojson(indent=2) }}\n{% endfor %}",
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
        "{% for m in messages %}{% generation %}{{ m.keys() | list }}{% endgeneration %}{% continue %}!{% endfor %}\n",
        "{{ tools[0]['name'] if tools else 'none' }}{% if add_generation_prompt %}>{% endif %}{{ strftime_now('%Y') }}",
    ],
)
def test_a_template_writes_what_it_writes_in_transformers(processor: Any, template: str | None) -> None:
    if template is not None:
        processor.chat_template = template
    expected = processor.apply_chat_template(TALK, add_generation_prompt=True, tools=[{"name": "zoom"}])
    assert written(processor, [TALK, TALK], tools=[{"name": "zoom"}]) == [expected, expected]


def test_the_inputs_are_those_of_transformers_alone_and_in_a_padded_batch(processor: Any) -> None:
    talks = [chat(RED, "What is this?"), chat(BLUE, "And this? Say more.")]
    for some, padding in ((talks[:1], False), (talks, True)):
        expected = processor.apply_chat_template(
            some, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
            processor_kwargs={"padding": padding},
        )  # fmt: skip
        inputs = tokenized(processor, some, padding=padding)
        assert inputs.keys() == expected.keys()
        assert all(torch.equal(inputs[name], expected[name]) for name in expected)


def test_a_tokenizer_writes_and_reads_as_transformers_does(folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{% for m in messages %}{{ bos_token }}{{ m['content'] }}{% endfor %}"
    talk = [{"role": "user", "content": "Hello."}]
    expected = tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    assert torch.equal(tokenized(tokenizer, [talk])["input_ids"], expected["input_ids"])


def test_a_batch_of_one_is_the_single_prompt(folder: Path) -> None:
    loaded = checkpoints.load(folder, device="cpu")
    one, batch = prompt_inputs(loaded, RED, "Hm?"), picture_inputs(loaded, [RED], ["Hm?"])
    assert all(torch.equal(one[name], batch[name]) for name in one)


@pytest.mark.parametrize(
    ("template", "because"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{% if %}", "TemplateSyntaxError"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ messages.__class__.__mro__ }}", "unsafe"),
        ("{{ cycler.__init__.__globals__.os.system('touch /tmp/x') }}", "cannot be used"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "calls itself without end"),
        ("{{ " + "(" * 100_000 + " }}", "nested too deeply"),
        ("{{ 'a' * 10 ** 10 }}", "needs more than 1024 MB"),
        ("{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}", "needs more"),
        ("{{ 'a' * 200_000 }}", "writes more than 100000 characters"),
        (7, "is no text"),
        ({"rag": "a template by another name"}, "is no text"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_used_is_refused_in_one_line(processor: Any, template: Any, because: str) -> None:
    processor.chat_template = template
    with pytest.raises(InputError, match=because) as refusal:
        chat_templates.check(processor, takes_images=True)
    said = str(refusal.value)
    assert "\n" not in said
    assert processor.tokenizer.name_or_path in said
    assert "see its chat_template.jinja" in said
    processor.chat_template = "fine"
    assert written(processor, [TALK]) == ["fine"]


@pytest.mark.parametrize("template", [LOOP, "{{ lipsum(n=10000000) }}", "{{ 7 ** (9 ** 9) % 10 }}"])
@pytest.mark.usefixtures("_impatient")
def test_a_template_without_end_is_ended_and_the_next_one_is_rendered(processor: Any, template: str) -> None:
    processor.chat_template = template
    with pytest.raises(InputError, match="takes more than 1 s or all memory to be rendered"):
        written(processor, [TALK])
    processor.chat_template = "fine"
    assert written(processor, [TALK]) == ["fine"]


def test_a_template_that_takes_texts_alone_is_loaded_and_refuses_a_picture(processor: Any) -> None:
    processor.chat_template = "{{ messages[0]['content'] + '!' }}"
    chat_templates.check(processor, takes_images=True)
    with pytest.raises(InputError, match="can only concatenate list"):
        tokenized(processor, [chat(RED, "What?")])


def test_threads_get_each_their_own_text(processor: Any) -> None:
    processor.chat_template = "{{ messages[0]['content'] }}"
    got: dict[str, list[str]] = {}

    def render(word: str) -> None:
        got[word] = [written(processor, [[{"role": "user", "content": word}]])[0] for _ in range(50)]

    threads = [threading.Thread(target=render, args=(word,)) for word in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {word: [word] * 50 for word in ("one", "two", "three")}
