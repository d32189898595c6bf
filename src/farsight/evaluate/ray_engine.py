"""Answers from the workers of a Ray cluster: many GPUs, many machines, and no answer lost or doubled when one dies.

Each worker holds a model and has one batch in hand. Ray is told to restart and to repeat nothing; what is asked again,
and how often, is decided here: a batch whose worker died is asked again on another, and a prompt that has killed three
workers is given up, so that the run goes on. Batches are those of the local engine and answered by its code, so the
answers are the same, item by item.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from farsight.errors import InputError, SettingError
from farsight.evaluate.engine import Answer, Failure, Request, Said
from farsight.evaluate.plan import versions
from farsight.evaluate.ray_cluster import check_address, connected, crew_size, import_ray
from farsight.evaluate.ray_worker import Ready, Reply, Worker
from farsight.inputs.checkpoints import LoadedModel

TRIES = 3
"""A prompt that has killed so many workers is given up. The last time it is asked alone, so that no other goes with
it."""
_STARTS = 3
"""When so many workers in a row, or all, have died while they load the model, the run ends."""
_HOPELESS = 10
"""When so many workers, or each of them twice, have died before there is any answer, the run ends."""
_PATIENCE = 60.0
"""Seconds without news, after which the run says that it waits for workers to start."""


@dataclass(frozen=True, kw_only=True)
class RayEngine:
    """Answers on a Ray cluster.

    Parameters
    ----------
    load
        Gives the model in a worker; pickled, so that a partial of a function that can be imported there is best.
    address
        ``host:port`` of a cluster's head, or ``auto`` on a machine of one; None starts one on this machine.
    workers
        How many; by default one on each GPU (or share of one), and without GPUs one on each machine.
    gpus_per_worker
        0, 1, or a share of one such as 0.5, with which two workers are on one GPU.
    weights
        Fingerprint of the checkpoint, which each worker's own must have.

    Raises
    ------
    SettingError
        If Ray is not installed, or a number or the address has no meaning.
    """

    load: Callable[[], LoadedModel]
    address: str | None = None
    workers: int | None = None
    gpus_per_worker: float = 0
    weights: str | None = None
    _stays: list[_Stay] = field(default_factory=list, init=False, compare=False, repr=False)
    """Of `staying`: none or one."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise SettingError(f"--workers {self.workers}: at least 1 is needed; leave it out for one on each GPU")
        if not (0 <= self.gpus_per_worker <= 1):
            raise SettingError(
                f"--gpus-per-worker {self.gpus_per_worker:g}: a worker's model is on one GPU; pass 1, a share of one "
                "such as 0.5, or 0 for CPUs"
            )
        if self.address is not None:
            check_address(self.address)
        import_ray(alone=self.address is None)

    def answers(self, requests: Iterable[Request]) -> Generator[tuple[int, Said], None, None]:
        """Answer as workers come to it; see `farsight.evaluate.engine.Engine`.

        Raises
        ------
        SettingError
            If the cluster has not the room, or answers are to be sampled: all are drawn from one stream of numbers.
        InputError
            If the cluster cannot be joined, workers cannot start, or have other versions or other weights.
        """
        left = iter(requests)
        first = next(left, None)
        if first is None:
            return
        if first.generation.get("do_sample") and "seed" not in first.generation:
            raise SettingError("sampled answers without a seed depend on their order: give one, or leave --engine out")
        with ExitStack() as own:
            stay = self._stays[0] if self._stays else _Stay(own)
            crew = self._crew(stay)
            try:
                yield from crew.answers(_chained(first, left))
            finally:
                if not crew.rest():
                    crew.dismiss()
                    stay.crew = None

    @contextmanager
    def staying(self) -> Iterator[None]:
        """Have workers stay, with their models, from one call of `answers` in the block to the next."""
        with ExitStack() as stack:
            self._stays.append(_Stay(stack))
            try:
                yield
            finally:
                self._stays.clear()

    def _crew(self, stay: _Stay) -> _Crew:
        """The workers that stayed, or new ones."""
        cpus = 1 if self.gpus_per_worker else torch.get_num_threads()
        if not stay.connected:
            stay.stack.enter_context(connected(self.address, cpus * (self.workers or 1)))
            stay.connected = True
        if stay.crew is None:
            stay.crew = _Crew(self, crew_size(self.workers, cpus, self.gpus_per_worker), cpus)
            stay.stack.callback(stay.crew.dismiss)
        return stay.crew


def _chained(first: Request, left: Iterator[Request]) -> Iterator[Request]:
    yield first
    yield from left


@dataclass
class _Stay:
    """How long workers and the connection to the cluster stay: until the stack is left."""

    stack: ExitStack
    connected: bool = False
    crew: _Crew | None = None


@dataclass
class _Ask:
    """A request, or one prompt of it, on its way."""

    request: Request
    place: int | None = None
    """Which prompt of the request it is; None for the whole."""
    deaths: int = 0


@dataclass(eq=False)
class _Member:
    """A worker; ``ready`` is what it said when its model was loaded."""

    actor: Any
    ready: Ready | None = None


class _Crew:
    """The workers and what each has in hand."""

    def __init__(self, engine: RayEngine, size: int, cpus: int) -> None:
        self.ray = import_ray()
        self.engine, self.size, self.cpus = engine, size, cpus
        self.members: list[_Member] = []
        self.idle: list[_Member] = []
        self.out: dict[Any, tuple[_Member, _Ask | None]] = {}
        """What each reference stands for: a worker that loads, or one that answers."""
        self.queue: deque[_Ask] = deque()
        self.apart: dict[int, list[Answer | Failure | None]] = {}
        """Requests of which each prompt is asked alone."""
        self.failed_starts = self.deaths = self.answered = 0

    def answers(self, requests: Iterator[Request]) -> Iterator[tuple[int, Said]]:
        """Answer all requests; each worker gets its next one before the answers to the last are written."""
        self._dispatch(requests)
        self._staff(requests)
        while self._has_more_than(0, requests) or any(ask for _, ask in self.out.values()):
            finished: list[tuple[int, Said]] = []
            for member, ask, reply in self._news():
                if reply is None:
                    finished += self._again(ask)
                elif ask is None:
                    self._admit(member, reply)
                else:
                    self.idle.append(member)
                    self.answered += 1
                    finished += self._put(ask, reply.said)
            self._dispatch(requests)
            self._staff(requests)
            yield from finished

    def rest(self) -> bool:
        """Forget what was not handed out, and say whether no worker has anything in hand."""
        self.queue.clear()
        self.apart.clear()
        return not any(ask for _, ask in self.out.values())

    def dismiss(self) -> None:
        """End all workers."""
        for member in list(self.members):
            self._drop(member)

    def _staff(self, requests: Iterator[Request]) -> None:
        """Have as many workers as there are to be, if there is work for them."""
        starting = sum(ask is None for _, ask in self.out.values())
        while len(self.members) < self.size and self._has_more_than(starting, requests):
            actor = (
                self.ray.remote(Worker)
                .options(num_cpus=self.cpus, num_gpus=self.engine.gpus_per_worker, max_restarts=0, max_task_retries=0)
                .remote(self.engine.load, self.cpus, Path.cwd())
            )
            member = _Member(actor)
            self.members.append(member)
            self.out[actor.start.remote()] = member, None
            starting += 1

    def _dispatch(self, requests: Iterator[Request]) -> None:
        while self.idle and self._has_more_than(0, requests):
            ask, member = self.queue.popleft(), self.idle.pop()
            self.out[member.actor.answer.remote(ask.request)] = member, ask

    def _has_more_than(self, count: int, requests: Iterator[Request]) -> bool:
        """Fill the queue up, if there are requests."""
        self.queue.extend(_Ask(request) for request in islice(requests, max(0, count + 1 - len(self.queue))))
        return len(self.queue) > count

    def _news(self) -> Iterator[tuple[_Member, _Ask | None, Reply | None]]:
        """Wait for calls to come back; a reply of None is a worker that died over it."""
        done, _ = self.ray.wait(list(self.out), num_returns=1, timeout=_PATIENCE)
        if not done and not any(ask for _, ask in self.out.values()):
            warnings.warn(
                f"waiting for {len(self.out)} workers to start: the cluster may be busy with other jobs", stacklevel=1
            )
        for reference in done:
            member, ask = self.out.pop(reference)
            try:
                reply: Reply = self.ray.get(reference)
            except self.ray.exceptions.RayTaskError:
                raise
            except self.ray.exceptions.RayError as error:
                if ask is None and "No module named" in str(error):
                    raise InputError(
                        f"a worker cannot start ({_line(error)}); install this version of farsight on every machine "
                        "of the cluster"
                    ) from error
                self._bury(member, ask, _line(error))
                yield member, ask, None
                continue
            for text in reply.warned:
                warnings.warn(text, stacklevel=1)
            if reply.error is not None:
                if ask is None:
                    self._drop(member)
                else:
                    self.idle.append(member)
                raise reply.error
            if member.ready and (path := next((path for path in reply.unseen if path.exists()), None)):
                raise InputError(
                    f"'{path}' is here but not on the machine {member.ready.machine}; put the pictures and the run "
                    "into a folder that all machines of the cluster share"
                )
            yield member, ask, reply

    def _admit(self, member: _Member, reply: Reply) -> None:
        """Take a worker whose model is loaded, if its answers are this process's."""
        assert reply.ready is not None
        member.ready, self.failed_starts = reply.ready, 0
        for name, version in versions().items():
            if (other := reply.ready.versions.get(name)) != version:
                raise InputError(
                    f"the worker on {reply.ready.machine} has {name} {other} and this process {version}; install the "
                    "same on all machines of the cluster"
                )
        if self.engine.weights is not None and reply.ready.weights != self.engine.weights:
            raise InputError(
                f"the worker on {reply.ready.machine} has other weights at the model's path than this process; use one "
                "folder that all machines share, or copy it"
            )
        self.idle.append(member)

    def _bury(self, member: _Member, ask: _Ask | None, reason: str) -> None:
        """Drop a worker that died, and say so; another is started in its place."""
        self._drop(member)
        self.deaths += 1
        doing = "it loaded the model" if ask is None else f"it answered {len(ask.request.prompts)} prompts"
        self.failed_starts += ask is None
        hopeless = not self.answered and self.deaths >= max(_HOPELESS, 2 * self.size)
        if hopeless or self.failed_starts >= max(_STARTS, self.size):
            raise InputError(
                f"{self.deaths} workers died, the last while {doing} ({reason}); see that the model fits into the "
                "memory of the machines, or try --engine local or a smaller --batch-size in a new folder"
            )
        warnings.warn(f"a worker died while {doing} ({reason}); another takes its place", stacklevel=1)

    def _drop(self, member: _Member) -> None:
        self.members.remove(member)
        self.ray.kill(member.actor, no_restart=True)

    def _again(self, ask: _Ask | None) -> list[tuple[int, Said]]:
        """Ask again what a worker died over: once more as it was, then each prompt alone, and not a fourth time."""
        if ask is None:
            return []
        ask.deaths += 1
        if len(ask.request.prompts) > 1 and ask.deaths == TRIES - 1:
            self.apart[ask.request.number] = [None] * len(ask.request.prompts)
            self.queue.extend(
                _Ask(_alone(ask.request, place), place, ask.deaths) for place in range(len(ask.request.prompts))
            )
        elif ask.deaths < TRIES:
            self.queue.appendleft(ask)
        else:
            return self._put(ask, [Failure(reason=f"it killed its worker {TRIES} times")])
        return []

    def _put(self, ask: _Ask, said: Said) -> list[tuple[int, Said]]:
        """Give what was said, once there is something for each prompt of the request."""
        number = ask.request.number
        if ask.place is None:
            return [(number, said)]
        together = self.apart[number]
        [together[ask.place]] = said
        whole = [one for one in together if one is not None]
        if len(whole) < len(together):
            return []
        del self.apart[number]
        return [(number, whole)]


def _alone(request: Request, place: int) -> Request:
    """One prompt of a request."""
    return replace(
        request,
        paths=[request.paths[place]],
        prompts=[request.prompts[place]],
        earlier=request.earlier[place : place + 1],
    )


def _line(error: Exception) -> str:
    """What Ray's long messages say of the cause."""
    text = " ".join(word for word in str(error).split() if set(word) != {"^"})
    _, found, detail = text.partition("Worker exit detail: ")
    return detail[:200] if found else text[-200:]
