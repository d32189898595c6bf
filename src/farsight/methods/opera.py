"""OPERA: beams that are kept from over-trusting one token, and that go back where they did (CVPR 2024)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PrefixConstrainedLogitsProcessor, StoppingCriteriaList, StopStringCriteria
from transformers.generation import GenerateBeamDecoderOnlyOutput

from farsight.attention import LanguageModel, locate, tapped, visual_token_mask
from farsight.attention.cache import CACHE
from farsight.call import Calls, calls_of
from farsight.errors import SettingError, UnsupportedModelError
from farsight.instances import replaced
from farsight.method import Method
from farsight.methods.asked import asked_of
from farsight.methods.beam_cache import BeamCache, prompt_layers
from farsight.methods.beam_search import with_beams
from farsight.methods.finished import Finished
from farsight.methods.newest_row import NewestRow
from farsight.methods.opera_search import Found, Search, Settings, as_scores, of_rows
from farsight.setting_checks import MOST_BEAMS, check_positive, check_strength, setting, whole


@dataclass(frozen=True, kw_only=True)
class OPERA(Method):
    """Beam search with an over-trust penalty and retrospection-allocation.

    With ``w[i, j]`` the weight of the last layer from new token ``i`` on new token ``j``, the maximum over heads, each
    row scaled to sum 1 over the whole text, a candidate token ``x`` of beam ``h`` is scored (eq. 3-6)

        phi(x) = max_j prod_{i=j}^{t} sigma w[i, j],    p(x) = softmax_x(log p(x | h) - alpha * 1e-7 * phi(x))

    over the candidates alone. Where the column ``s`` of the maximum is the same for ``threshold`` new tokens, token
    ``s`` has become a summary that the text leans on: the beams go back and choose another token behind it (eq. 7-8).

    Parameters
    ----------
    num_beams
        Beams, 1 or more.
    scale_factor
        ``sigma``, which brings weights of usual size to about 1.
    threshold
        ``r``: so many new tokens have to agree on a column.
    num_attn_candidates
        ``N_can``: tokens of each beam that are considered. Each of them is fed to the model.
    penalty_weights
        The paper's ``alpha``: how much over-trust costs.
    window
        ``k`` and ``l``: how many of the newest columns and of their locations count.
    max_rollbacks
        ``beta``: how often one place is gone back to, before the one ahead of it is; 0 never goes back.
    image_tokens_first
        For so many new tokens the penalty is minus the share of the candidate's row that reads the image, as in the
        published code; and no rollback goes to them. 0 for the paper's equations alone.
    candidates_at_once
        How many candidates of a beam are in one forward pass. Fewer are slower and need less memory: one forward holds
        a cache of ``num_beams * candidates_at_once`` sequences. The result is the same.

    Raises
    ------
    SettingError
        If a value has no meaning.
    """

    name: ClassVar[str] = "opera"
    paper: ClassVar[str] = "Huang et al., CVPR 2024, arXiv 2311.17911"
    changes: ClassVar[str] = "search"
    goes_with: ClassVar[tuple[str, ...]] = ("gate",)
    cache: ClassVar[str] = "needed"
    extra_forwards: ClassVar[float] = 0.0  # but each is over every beam with every candidate

    num_beams: int = setting(5, whole(1, MOST_BEAMS))
    scale_factor: float = setting(50.0, check_positive)
    threshold: int = setting(15, whole(1))
    num_attn_candidates: int = setting(5, whole(1, MOST_BEAMS))
    penalty_weights: float = setting(1.0, check_strength)
    window: int = setting(512, whole(1))
    max_rollbacks: int = setting(5, whole(0))
    image_tokens_first: int = setting(10, whole(0))
    candidates_at_once: int = setting(5, whole(1, MOST_BEAMS))

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Make ``model.generate`` search this way; see `Method`."""
        if not hasattr(model, "generate"):
            raise UnsupportedModelError(f"{type(model).__name__} has no generate to search with")
        language_model = locate(model)
        generate: Any = model.generate
        row, last = NewestRow(), language_model.layers[-1]
        search = partial(_search, Settings(**_values(self)), language_model, row, calls_of(model))
        searching = replaced(model, "generate", partial(self._generate, generate, model, search))
        with tapped(language_model, [(last, row)]), searching:
            yield

    def _generate(
        self, original: Callable[..., Any], model: Any, search: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        _refuse(model, args, kwargs)
        how = with_beams(args, kwargs, self.num_beams)
        if self.penalty_weights > 0 or self.max_rollbacks > 0:
            _stop_at_strings(how, model.generation_config)
            how["custom_generate"] = search
        return original(*args[:1], **how)


def _values(method: OPERA) -> dict[str, Any]:
    return {field.name: getattr(method, field.name) for field in fields(method)}


def _stop_at_strings(how: dict[str, Any], default: Any) -> None:
    """Make the criterion of ``stop_strings`` here: Transformers forgets the tokenizer where a loop is given."""
    config = how.get("generation_config")
    strings = how.get("stop_strings") or (config or default).stop_strings
    if strings is None or how.get("tokenizer") is None:
        return
    criterion = StopStringCriteria(how.pop("tokenizer"), strings)
    how["stopping_criteria"] = StoppingCriteriaList([*(how.get("stopping_criteria") or ()), criterion])
    how["stop_strings"] = None
    if config is not None:  # `with_beams` has made a copy
        del how["stop_strings"]
        config.stop_strings = None


def _refuse(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse what contradicts the search."""
    asked = asked_of(model, args, kwargs)
    if asked("do_sample"):
        raise SettingError("OPERA searches with beams and samples nothing: pass do_sample=False to generate")
    if asked("guidance_scale") not in (None, 1, 1.0):
        raise SettingError("OPERA takes tokens back, which guidance_scale cannot follow: leave it out")
    for name in ("output_attentions", "output_hidden_states"):
        if asked(name) and asked("return_dict_in_generate"):
            raise SettingError(f"OPERA takes tokens back and keeps none of their tensors: leave out {name}")
    for name in ("streamer", "assistant_model", "custom_generate"):
        if kwargs.get(name) is not None:
            raise SettingError(f"OPERA is a search of its own and cannot be used with {name}: leave it out")


def _search(
    settings: Settings,
    language_model: LanguageModel,
    row: NewestRow,
    calls: Calls,
    model: Any,
    input_ids: Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    **model_kwargs: Any,
) -> Any:
    """A decoding loop as Transformers calls it; inputs hold every prompt ``num_beams`` times."""
    total, prompt_slots = input_ids.shape
    beams = settings.num_beams
    if total > beams and any(isinstance(one, PrefixConstrainedLogitsProcessor) for one in logits_processor):
        raise SettingError("OPERA searches for one prompt at a time: use prefix_allowed_tokens_fn with one prompt")
    ends = generation_config._eos_token_tensor
    outputs = model._prefill(input_ids, generation_config, model_kwargs)
    cache = outputs.get(CACHE)
    layers = prompt_layers(cache, beams)
    image = _image_tokens(model, language_model, settings, input_ids, cache)
    logits = as_scores(outputs.logits[:, -1]).to(input_ids.device)
    found = []
    assert calls.call is not None
    for prompt, first in enumerate(range(0, total, beams)):
        rows = slice(first, first + beams)
        search = Search(
            settings=settings,
            model=model,
            row=row,
            cache=BeamCache(cache=cache, prompt=layers[prompt], beams=beams),
            inputs=of_rows(model_kwargs, first, beams, total),
            image=image[first],
            outputs=outputs,
            processors=logits_processor,
            stopping=stopping_criteria,
            beams_to_consider=max(2, 1 + (0 if ends is None else len(ends))) * beams,
            finished=Finished(
                beams=beams,
                length_penalty=generation_config.length_penalty,
                early_stopping=generation_config.early_stopping,
                longest=generation_config.max_length - prompt_slots,
            ),
            keep_scores=generation_config.return_dict_in_generate,
        )
        calls.call.part = (first, beams, total)
        found.append(search.run(input_ids[rows], logits[rows]))
    output = _output(found, generation_config, beams)
    if generation_config.return_dict_in_generate and len(output.sequences) == 1:
        calls.call.part = (0, 1, total)
        setattr(output, CACHE, search.cache_of(found[0].texts[0]))
    calls.call.part = None
    return output


def _image_tokens(
    model: nn.Module, language_model: LanguageModel, settings: Settings, input_ids: Tensor, cache: Any
) -> Tensor:
    """Image tokens among the slots of the prompts, ``(batch, slots)``; none where the model takes no image."""
    slots = cache.get_seq_length(language_model.layers[-1].index)
    none = torch.zeros((len(input_ids), slots), dtype=torch.bool, device=input_ids.device)
    if settings.image_tokens_first == 0:
        return none
    try:
        image = visual_token_mask(model, input_ids)
    except UnsupportedModelError:
        return none
    if image.shape[1] != slots:
        raise SettingError(
            f"image_tokens_first={settings.image_tokens_first} needs the whole prompt's input_ids: the prompt has "
            f"{slots} slots and {image.shape[1]} ids; pass input_ids, or set image_tokens_first=0"
        )
    return image


def _output(found: list[Found], config: Any, beams: int) -> Any:
    texts = [text for one in found for text in one.texts[: config.num_return_sequences]]
    ends, pad = config._eos_token_tensor, config._pad_token_tensor
    fill = int(pad) if pad is not None else int(ends[0]) if ends is not None else 0
    sequences = torch.nn.utils.rnn.pad_sequence([text.tokens for text in texts], batch_first=True, padding_value=fill)
    if not config.return_dict_in_generate:
        return sequences
    parents = [
        text.parents + beams * prompt
        for prompt, one in enumerate(found)
        for text in one.texts[: config.num_return_sequences]
    ]
    scores = sequences.new_tensor([text.score for text in texts], dtype=torch.float32)
    return GenerateBeamDecoderOnlyOutput(
        sequences=sequences,
        sequences_scores=scores if config.output_scores else None,
        scores=_of_steps([one.scores for one in found]) if config.output_scores else None,
        logits=_of_steps([one.logits for one in found]) if config.output_logits else None,
        beam_indices=torch.nn.utils.rnn.pad_sequence(parents, batch_first=True, padding_value=-1),
    )


def _of_steps(prompts: list[list[Tensor]]) -> tuple[Tensor, ...]:
    """Join the steps of all prompts, ``(prompts * beams, vocabulary)`` each; NaN where a prompt has ended earlier."""
    ended = torch.full_like(prompts[0][0], torch.nan)
    steps = range(max(len(steps) for steps in prompts))
    return tuple(torch.cat([steps[step] if step < len(steps) else ended for steps in prompts]) for step in steps)
