"""One picture described under two methods, piece by piece: the texts while they are made, then where words look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import sleep

from farsight.cancelling import stops
from farsight.description import Description, generate, warm_up
from farsight.diagnose import Diagnosis, diagnose
from farsight.errors import FarSightError
from farsight.inputs.checkpoints import LoadedModel
from farsight.method import Method
from farsight.methods.grammar import label_of
from farsight.metrics import chair
from farsight.metrics.chair import ChairScore
from farsight.metrics.vocabulary import Mention, Vocabulary
from farsight.web.drawing import Seen
from farsight.web.models import Models
from farsight.web.sessions import Shown

PAUSE_SECONDS = 0.1
"""Between two states: drawing every single word would slow the model down, whose speed is shown."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, under which methods."""

    shown: Shown
    prompt: str
    methods: Sequence[Method]
    max_new_tokens: int


@dataclass(kw_only=True, eq=False)
class Column:
    """What one method said so far."""

    label: str
    text: str = ""
    said: Description | None = None
    found: Diagnosis | None = None

    def mentions(self, vocabulary: Vocabulary) -> list[Mention]:
        """Words of the text that name objects."""
        return vocabulary.mentions(self.text)


@dataclass(kw_only=True, eq=False)
class Comparison:
    """The state of a job, which the page draws."""

    shown: Shown
    vocabulary: Vocabulary
    columns: list[Column]
    step: int = 0
    doing: str = "Loading the model"
    note: str = ""
    """Why something is missing that would be shown otherwise."""
    done: bool = False
    steps: int = field(init=False)

    def __post_init__(self) -> None:
        """Count what there is to do: each method says, then shows where it looked."""
        self.steps = 2 * len(self.columns)

    def score(self, column: Column) -> ChairScore | None:
        """CHAIR of one description, where it is known what is in the picture."""
        if self.shown.objects is None or column.said is None or not column.text.strip():
            return None
        return chair.score(
            [{"image_id": "shown", "caption": column.text}],
            {"shown": self.shown.objects},
            vocabulary=self.vocabulary,
        )


def compared(models: Models, question: Question, cancelled: Event) -> Iterator[Comparison]:
    """Describe under each method, one after the other on one model; gives the state whenever it has changed.

    Raises
    ------
    CancelledError
        Soon after ``cancelled`` is set.
    FarSightError
        Whatever is wrong with the model, the picture or a method.
    """
    state = Comparison(
        shown=question.shown,
        vocabulary=models.vocabulary(drawn=question.shown.objects is not None),
        columns=[Column(label=label_of(method)) for method in question.methods],
    )

    def work(changed: Callable[[], None]) -> None:
        with models.busy:
            loaded = models.load(videos=question.shown.is_video)
            seen = question.shown.seen()
            with stops(loaded.model, cancelled):
                _describe(models, loaded, question, seen, state, changed)
                _look(loaded, question, seen, state, changed)

    yield state
    for _ in _changes(work, cancelled):
        yield state
    state.done = True
    yield state


def _describe(
    models: Models, loaded: LoadedModel, question: Question, seen: Seen, state: Comparison, changed: Callable[[], None]
) -> None:
    for column, method in zip(state.columns, question.methods, strict=True):
        state.doing = f"{column.label} describes"
        changed()
        models.warm(loaded, column.label, partial(warm_up, loaded, [method], seen, question.prompt))

        def show(text: str, column: Column = column) -> None:
            column.text += text
            changed()

        column.said = generate(loaded, method, seen, question.prompt, question.max_new_tokens, show=show)
        column.text = column.said.text
        state.step += 1
        changed()


def _look(loaded: LoadedModel, question: Question, seen: Seen, state: Comparison, changed: Callable[[], None]) -> None:
    for column, method in zip(state.columns, question.methods, strict=True):
        state.doing = f"Looking at the attention of {column.label}"
        changed()
        if column.text.strip():
            try:
                [column.found] = diagnose(
                    loaded,
                    seen,
                    question.prompt,
                    {column.label: method},
                    max_new_tokens=question.max_new_tokens,
                )
            except FarSightError as error:
                state.note = f"Attention cannot be shown: {error}"
        state.step += 1
        changed()


def _changes(work: Callable[[Callable[[], None]], None], cancelled: Event) -> Iterator[None]:
    """Run ``work`` in a thread and give something whenever it says that something has changed.

    What it raises is raised here. Whoever stops listening cancels it, and waits until it has stopped.
    """
    queue: SimpleQueue[BaseException | bool] = SimpleQueue()

    def run() -> None:
        try:
            work(lambda: queue.put(True))
            queue.put(False)
        except BaseException as error:
            queue.put(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        while (item := _newest(queue)) is True:
            yield
            sleep(PAUSE_SECONDS)
        if isinstance(item, BaseException):
            raise item
    finally:
        if thread.is_alive():
            cancelled.set()
            thread.join()


def _newest(queue: SimpleQueue[BaseException | bool]) -> BaseException | bool:
    """Wait for an item; of several that wait, only the last counts."""
    item = queue.get()
    while item is True:
        try:
            item = queue.get_nowait()
        except Empty:
            return True
    return item
