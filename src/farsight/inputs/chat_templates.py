"""Chat templates, which are programs of a checkpoint, are rendered in a process that can be ended.

A template can loop for ever, call itself, or ask for all memory in a single operation that nothing in this process
could interrupt. So every face renders through `written` and `tokenized`: Transformers does it, in a process of its
own with bounded memory, and a template that takes longer than `MOST_SECONDS` is refused with its process. The process
is started once, by `start` while a model is loaded, and ends with this one.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from farsight.errors import InputError
from farsight.inputs import template_process

MOST_SECONDS = 10.0
"""For a batch of conversations, of which each takes a millisecond."""
MOST_SECONDS_TO_START = 120.0
"""For the process, which takes one on a machine that does nothing else."""

Talk = Sequence[dict[str, Any]]
"""The messages of one conversation."""

_AS_WRITTEN = "{{ messages[0]['written'] }}"
"""The template by which a processor finds in a conversation what has been rendered before."""


class TemplateError(InputError):
    """A template that does not take this conversation; it may take others."""


def has_template(processor: Any) -> bool:
    """Say whether a processor or tokenizer has a chat template.

    Raises
    ------
    InputError
        If what it has in place of one is no text.
    """
    return bool(_template(processor))


def written(processor: Any, talks: Sequence[Talk], **variables: Any) -> list[str]:
    """What the chat template of a processor or tokenizer makes of conversations; an answer is to follow each.

    Parameters
    ----------
    processor
        One that `has_template`.
    talks
        Conversations; of pictures and videos a template sees only that they are there.
    variables
        More that the template may read, such as ``tools``; values that JSON can hold.

    Raises
    ------
    TemplateError
        If the template refuses a conversation, or is no template.
    InputError
        If it takes too long, too much memory or writes too much.
    """
    seen = [part for talk in talks for message in talk for part in message.get("content") or []]
    videos = any(isinstance(part, dict) and part.get("type") == "video" for part in seen)
    tokenizer = getattr(processor, "tokenizer", processor)
    asked = {
        "chat_template": (videos and _template_for_videos(processor)) or _template(processor),
        "conversations": [
            [{key: value for key, value in message.items() if value is not None} for message in talk] for talk in talks
        ],
        "add_generation_prompt": True,
        **tokenizer.special_tokens_map,
        **variables,
    }
    answer = _PROCESS.ask(json.dumps(asked, default=lambda value: f"<{type(value).__name__}>").encode())
    if "refused" in answer:
        raise TemplateError(str(_refusal(processor, f"cannot be used: {' '.join(answer['refused'].split())[:240]}")))
    if "unbounded" in answer:
        raise _refusal(processor, answer["unbounded"])
    texts: list[str] = answer["texts"]
    return texts


def tokenized(processor: Any, talks: Sequence[Talk], *, padding: bool = False, **variables: Any) -> Any:
    """The inputs of ``generate`` for conversations with their pictures and videos: `written`, then processed.

    Raises
    ------
    InputError
        As `written`.
    """
    texts = written(processor, talks, **variables)
    found = [[{**talk[0], "written": text}, *talk[1:]] for talk, text in zip(talks, texts, strict=True)]
    return processor.apply_chat_template(
        found,
        chat_template=_AS_WRITTEN,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": padding},
    )


def check(processor: Any, *, takes_images: bool) -> None:
    """Render a question, about a picture if the model takes some, as all that is asked later will be.

    Raises
    ------
    InputError
        If the chat template is none, is not bounded, or refuses the question in every form.
    """
    if not has_template(processor):
        return
    question = "What is this?"
    parts = [{"type": "text", "text": question}]
    forms = [*([[{"type": "image"}, *parts]] if takes_images else []), question, parts]
    talks = [[{"role": "user", "content": content}] for content in forms]
    for talk in talks[:-1]:
        with suppress(TemplateError):
            written(processor, [talk])
            return
    written(processor, talks[-1:])


def start() -> None:
    """Start the process, if there is none, and do not wait for it."""
    _PROCESS.start()


def _template(processor: Any) -> str | None:
    template = getattr(processor, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default", template)
    if template is not None and not isinstance(template, str):
        raise _refusal(processor, "is no text")
    return template


def _template_for_videos(processor: Any) -> str | None:
    """What a processor of Transformers that has a template of its own for videos puts in place of its checkpoint's."""
    return getattr(sys.modules[type(processor).__module__], "DEFAULT_CHAT_TEMPLATE", None)


def _refusal(processor: Any, why: str) -> InputError:
    name = getattr(getattr(processor, "tokenizer", processor), "name_or_path", "")
    return InputError(
        f"the chat template of '{name}' {why}; see its chat_template.jinja, or chat_template in its "
        "processor_config.json or tokenizer_config.json"
    )


class _Process:
    """The process, which is started anew after it was ended."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: subprocess.Popen[bytes] | None = None
        self.owner = 0
        self.ready = False

    def start(self) -> None:
        with self.lock, suppress(OSError):
            self._running()

    def ask(self, line: bytes) -> dict[str, Any]:
        """Send a line and give the answer, or why there is none."""
        with self.lock:
            try:
                process = self._running()
            except OSError as error:
                return {"unbounded": f"cannot be rendered: no process can be started for that ({error})"}
            if not self.ready:
                if not self._exchange(process, b"", MOST_SECONDS_TO_START):
                    return {"unbounded": "cannot be rendered: the process for that does not start"}
                self.ready = True
            if answer := self._exchange(process, line + b"\n", MOST_SECONDS):
                return dict(json.loads(answer))
            self.close()
            return {"unbounded": f"takes more than {MOST_SECONDS:g} s or all memory to be rendered"}

    def close(self) -> None:
        """End the process."""
        if self.running is not None and self.owner == os.getpid():
            self.running.kill()
            self.running.communicate()
        self.running = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self.running is None or self.owner != os.getpid() or self.running.poll() is not None:
            self.close()
            # with -P and this path, what is imported there is what would be imported here
            path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
            self.running = subprocess.Popen(
                [sys.executable, "-P", "-m", template_process.__name__],
                env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for this process, with which that one ends
            )
            self.owner, self.ready = os.getpid(), False
        return self.running

    def _exchange(self, process: subprocess.Popen[bytes], line: bytes, seconds: float) -> bytes:
        """Write and read a line; nothing if the process has ended or had to be."""
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(seconds, process.kill)
        timer.daemon = True
        timer.start()
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(line)
                process.stdin.flush()
            return process.stdout.readline()
        finally:
            timer.cancel()


_PROCESS = _Process()
atexit.register(_PROCESS.close)
