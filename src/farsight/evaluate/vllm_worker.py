"""A process that holds a model in vLLM and answers one request at a time, with the tokens that Transformers would read.

It is a process of its own so that what one method's engine holds, on a GPU above all, is free for the next one's.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import AutoConfig, GenerationConfig
from transformers.utils import logging

from farsight.errors import FarSightError, InputError, SettingError
from farsight.evaluate.engine import Answer, Failure, Request, Said, Visual, end_tokens, read
from farsight.inputs.chat_templates import has_template, written
from farsight.inputs.checkpoints import read_processor
from farsight.inputs.prompts import PromptError, asking, chat, check_text, processed, without_template

_NEUTRAL = {"repetition_penalty": (1.0,), "encoder_repetition_penalty": (1.0,), "guidance_scale": (1.0,)}
_OTHER_ANSWERS = (
    "bad_words_ids", "begin_suppress_tokens", "encoder_no_repeat_ngram_size", "encoder_repetition_penalty",
    "exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id", "guidance_scale", "max_time",
    "min_length", "min_new_tokens", "no_repeat_ngram_size", "sequence_bias", "stop_strings", "suppress_tokens",
    "watermarking_config",
)  # fmt: skip
"""Settings of a checkpoint's generation that change greedy answers in Transformers and are not handed to vLLM."""
PICTURES_ALONE = "--engine vllm is tested with pictures alone; pass --engine local for videos, texts and conversations"


@dataclass(frozen=True, kw_only=True)
class Start:
    """How the engine of one method is started."""

    source: str
    """Folder of the checkpoint, or its name on the hub."""
    name: str
    """What the model was asked for by."""
    dtype: str | None
    """As in `farsight.inputs.checkpoints.load`."""
    log: Path
    """Where the process writes all that it and vLLM have to say."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """More arguments of ``vllm.LLM``."""


def serve(connection: Connection, start: Start) -> None:
    """Start an engine, say so with None, and answer until the connection is closed or the parent is gone.

    What goes wrong is sent as a `FarSightError`, or as what vLLM says of it.
    """
    _settle(start.log)
    try:
        worker = Worker(start)
        try:
            connection.send(None)
            for request in _requests(connection):
                connection.send(worker.answer(request))
        finally:
            worker.close()
    except Exception as error:  # whatever vLLM raises is told in the process that can say it
        with suppress(OSError):
            connection.send(_told(error))


class Worker:
    """Holds a model in vLLM."""

    def __init__(self, start: Start) -> None:
        from vllm import LLM
        from vllm.platforms import current_platform

        self.name = start.name
        self.processor = read_processor(start.source, start.name)
        if not hasattr(self.processor, "image_processor"):
            raise InputError(
                f"'{self.name}' takes no pictures; pass a multimodal model such as llava-hf/llava-1.5-7b-hf"
            )
        self.tokenizer = getattr(self.processor, "tokenizer", self.processor)
        config = AutoConfig.from_pretrained(start.source)
        generation = _generation_config(start.source, config)
        self.ends = end_tokens(generation)
        self.penalty = generation.repetition_penalty or 1.0
        self.llm = LLM(
            model=start.source,
            dtype=_dtype(start.dtype, current_platform.device_type, config),
            load_format="safetensors",
            limit_mm_per_prompt={"image": 1},
            use_tqdm_on_load=False,
            **start.options,
        )
        self.compared = False

    def answer(self, request: Request) -> Said:
        """Answer one batch: all prompts at once whose pictures can be read, and that the processor takes."""
        visuals = [self._taken(*one) for one in zip(read(request), request.prompts, strict=True)]
        asked = [
            (visual, prompt)
            for visual, prompt in zip(visuals, request.prompts, strict=True)
            if not isinstance(visual, Failure)
        ]
        answers = iter(self._answers(asked, request.max_new_tokens) if asked else [])
        return [visual if isinstance(visual, Failure) else next(answers) for visual in visuals]

    def _taken(self, visual: Visual | Failure, prompt: str) -> Visual | Failure:
        """What a prompt is about, or why it cannot be asked."""
        if isinstance(visual, Failure):
            return visual
        try:
            prompt_tokens(self.processor, _still(visual), prompt)
        except PromptError as error:
            return Failure(reason=str(error))
        return visual

    def close(self) -> None:
        """End what the engine has started."""
        with suppress(Exception):
            self.llm.llm_engine.engine_core.shutdown()

    def _answers(self, asked: list[tuple[Visual, str]], max_new_tokens: int) -> list[Answer]:
        from vllm import SamplingParams

        how = SamplingParams(
            temperature=0,
            max_tokens=max_new_tokens,
            ignore_eos=True,  # which is the tokenizer's; Transformers ends at those of the generation config
            stop_token_ids=sorted(self.ends),
            repetition_penalty=self.penalty,
            detokenize=False,
        )
        prompts = [
            {
                "prompt_token_ids": prompt_tokens(self.processor, _still(picture), prompt),
                "multi_modal_data": {"image": picture},
            }
            for picture, prompt in asked
        ]
        made = self.llm.generate(prompts, how, use_tqdm=False)
        self._forget()
        self._compare(asked, made)
        return [self._answer(one, max_new_tokens) for one in made]

    def _forget(self) -> None:
        """Keep nothing from one batch to the next: what is cached is computed in other batches, to other last bits."""
        self.llm.reset_prefix_cache()
        self.llm.llm_engine.reset_encoder_cache()

    def _compare(self, asked: list[tuple[Visual, str]], made: list[Any]) -> None:
        """Hold what vLLM has read against what Transformers reads, for the first batch."""
        if self.compared:
            return
        for (picture, prompt), one in zip(asked, made, strict=True):
            expected = processed(self.processor, _still(picture), prompt)["input_ids"][0].tolist()
            if list(one.prompt_token_ids) != expected:
                raise InputError(
                    f"vLLM reads the prompts of '{self.name}' as other tokens than Transformers does "
                    f"({len(one.prompt_token_ids)}, and {len(expected)}): use --engine local"
                )
        self.compared = True

    def _answer(self, made: Any, max_new_tokens: int) -> Answer:
        [output] = made.outputs
        answer = Answer.of(list(output.token_ids), ends=self.ends, tokenizer=self.tokenizer, absorbed=lambda _: None)
        if not answer.ended and answer.tokens < max_new_tokens:
            longest = self.llm.llm_engine.vllm_config.model_config.max_model_len
            raise InputError(
                f"a prompt of {len(made.prompt_token_ids)} tokens and {max_new_tokens} new ones do not fit into vLLM's "
                f"{longest}; pass a larger --max-model-len, or choose a new folder and --engine local"
            )
        return answer


def prompt_tokens(processor: Any, picture: Image.Image, prompt: str) -> list[int]:
    """Make the tokens of `farsight.inputs.prompts.processed` before the picture's own are put in, which vLLM does.

    They begin as Transformers has it, with a first token of the tokenizer's unless the template has written one;
    ``vllm.LLM.chat`` leaves it out.

    Raises
    ------
    PromptError
        If the processor does not take the prompt.
    """
    check_text(processor, prompt)
    with asking([prompt]):
        if has_template(processor):
            [text] = written(processor, [chat(picture, prompt)])
        else:
            text = without_template(processor, prompt)
        tokenizer = getattr(processor, "tokenizer", processor)
        begun = tokenizer.bos_token is not None and text.startswith(tokenizer.bos_token)
        ids: list[int] = tokenizer(text, add_special_tokens=not begun)["input_ids"]
        return ids


def _still(picture: Visual) -> Image.Image:
    if not isinstance(picture, Image.Image):
        raise SettingError(PICTURES_ALONE)
    return picture


def _generation_config(source: str, config: Any) -> GenerationConfig:
    """What a model would have that Transformers has loaded.

    Raises
    ------
    SettingError
        If it changes greedy answers in a way that vLLM would not.
    """
    try:
        found: GenerationConfig = GenerationConfig.from_pretrained(source)
    except OSError:
        found = GenerationConfig.from_model_config(config)
    for name in _OTHER_ANSWERS:
        value = getattr(found, name, None)
        if value and value not in _NEUTRAL.get(name, ()):
            raise SettingError(
                f"the checkpoint's generation_config.json has {name}={value!r}, which --engine vllm does not follow: "
                "use --engine local"
            )
    return found


def _dtype(dtype: str | None, device: str, config: Any) -> str:
    """Name the type that `farsight.inputs.checkpoints.load` would load; vLLM's "auto" is another for float32."""
    if dtype not in (None, "auto"):
        return str(dtype)
    if device == "cpu":
        return "float32"
    own = getattr(config, "dtype", None)
    return "auto" if own is None else str(own).removeprefix("torch.")


def _requests(connection: Connection) -> Iterator[Request]:
    """What comes, until the other side hangs up."""
    with suppress(EOFError, OSError):
        while True:
            yield connection.recv()


def _settle(log: Path) -> None:
    """Be a quiet process, with a group of its own that Ctrl-C does not reach and that does not outlive the parent."""
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # this is a process of its own already, and errors come whole
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _told(error: Exception) -> FarSightError | str:
    """Give the error of this package that is behind another one, or what vLLM says, on one line."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, FarSightError):
            return behind
        behind = behind.__cause__ or behind.__context__
    traceback.print_exception(error)
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else f"{text[:397]}..."
