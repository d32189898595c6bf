"""Above which score a verifier is believed, measured on what a model names in pictures whose objects are known."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image

from farsight.calibration import Verifier
from farsight.diagnose.layout import lay_out
from farsight.diagnose.replay import generated
from farsight.inputs.checkpoints import LoadedModel, answering
from farsight.judging.detector import Example, calibrate
from farsight.method import Plain
from farsight.methods.verified import Verified
from farsight.metrics.vocabulary import Vocabulary


@answering
def measure(
    loaded: LoadedModel,
    pictures: Iterable[tuple[Image.Image, frozenset[str]]],
    vocabulary: Vocabulary,
    prompt: str,
    *,
    verified: Verified,
    max_new_tokens: int,
) -> Verifier:
    """Describe pictures, ask the verifier about every object that is named, and choose the threshold.

    It is the one with the fewest errors, those of either kind counted as shares of their own; the shares that are told
    are of pictures that it was not chosen on (`farsight.judging.detector.calibrate`).

    Parameters
    ----------
    loaded
        The model that describes, and is asked where it is its own verifier.
    pictures
        Each with the objects in it, in the words of the vocabulary.
    vocabulary
        Which words name objects.
    prompt
        What asks for a description.
    verified
        Says who the verifier is.
    max_new_tokens
        Of a description.

    Raises
    ------
    InputError
        If too few objects are named that are there, or that are not.
    """
    examples: list[Example] = []
    scores: list[float] = []
    count = 0
    for count, (picture, there) in enumerate(pictures, start=1):
        tokens = generated(loaded, lay_out(loaded, picture, prompt), Plain(), max_new_tokens)
        text = loaded.tokenizer.decode(tokens, skip_special_tokens=True)
        named = list(dict.fromkeys(mention.object for mention in vocabulary.mentions(text)))
        examples += [Example(str(count), name, name in there) for name in named]
        scores += verified.scores(loaded, picture, named, 1)
    found = calibrate(examples, scores)
    return Verifier(
        verifier=verified.verifier,
        threshold=found.threshold,
        false_there=found.false_there.value,
        false_not_there=found.false_not_there.value,
        true_count=found.false_not_there.of,
        false_count=found.false_there.of,
        model=loaded.name,
        pictures=count,
        prompt=prompt,
        max_new_tokens=max_new_tokens,
    )
