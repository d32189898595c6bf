"""Joining a Ray cluster, or starting one on this machine, and how many workers there is room for."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from farsight.errors import InputError, SettingError

_ADDRESS = re.compile(r"(?P<host>[^\s:/]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
_PROBE_SECONDS = 5.0
_STORE = 2**27
"""Bytes of shared memory for a cluster of this machine: requests are small. Ray's own choice is 30 % of all memory."""
_LOOPBACK = "127.0.0.1"
_CONFIG = {"worker_niceness": 0, "worker_register_timeout_seconds": 300}
"""Of a cluster of this machine: workers are no less urgent than a run without Ray, and may be slow to start."""
_KEPT = ("HF_HUB_OFFLINE", "HF_HOME", "KMP_BLOCKTIME", "OMP_WAIT_POLICY", "TOKENIZERS_PARALLELISM")
"""Settings of this process that workers on other machines get too, where they are set."""


def import_ray(*, alone: bool = False) -> ModuleType:
    """Give the library, which sends no usage reports unless the environment asks for them.

    Parameters
    ----------
    alone
        A cluster of this machine is to listen on its loopback alone. Ray decides that when it is first imported.

    Raises
    ------
    SettingError
        If it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if alone:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise SettingError(
            "--engine ray needs Ray, which is not installed: pip install '.[ray]' in a clone of farsight, or leave "
            "--engine out to answer in this process"
        ) from error
    return ray  # type: ignore[no-any-return]


def check_address(address: str) -> None:
    """Look at an address before Ray does.

    Raises
    ------
    SettingError
        If it is no address of a cluster.
    """
    if address.startswith("ray://"):
        raise SettingError(
            f"--address '{address}' is one of Ray Client; run farsight on a machine of the cluster and pass "
            "--address auto, or its head's host:6379"
        )
    if address != "auto" and not _ADDRESS.fullmatch(address):
        raise SettingError(
            f"--address '{address}' is not an address; pass host:port of the cluster's head, such as 10.0.0.1:6379, "
            "auto on a machine of the cluster, or leave it out to start one on this machine"
        )


@contextmanager
def connected(address: str | None, cpus: int) -> Iterator[None]:
    """Be connected for the length of a block.

    Parameters
    ----------
    address
        ``host:port`` of a cluster's head, or ``auto`` on a machine of one. None starts a cluster on this machine that
        is reached from nowhere else and ends with the block; or uses the one that this process is connected to.
    cpus
        How many a cluster that is started here has, at least.

    Raises
    ------
    InputError
        If there is no cluster at this address, or it cannot be joined.
    """
    ray = import_ray(alone=address is None)
    if address is None and ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        start = {
            "address": "local",
            "include_dashboard": False,
            "num_cpus": max(cpus, os.cpu_count() or 1),
            "object_store_memory": _STORE,
            "_node_ip_address": _LOOPBACK,
            "_system_config": _CONFIG,
        }
    else:
        _probe(address)
        env = {name: os.environ[name] for name in _KEPT if name in os.environ}
        start = {"address": address, "runtime_env": {"env_vars": env}}
    try:
        ray.init(**start, **quiet)
    except Exception as error:  # Ray raises many kinds, also for versions of Ray and Python that differ
        line = " ".join(str(error).split())[:300]
        if address is None:
            raise InputError(f"Ray cannot be started on this machine: {line}") from error
        raise InputError(
            f"--address '{address}': the cluster cannot be joined ({line}); run 'ray start --address={address}' on "
            "this machine with the head's versions of Ray and Python, or leave --address out to start a cluster here"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _probe(address: str) -> None:
    """Fail in seconds where nothing listens: Ray itself tries for a long time."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return
    try:
        socket.create_connection((found["host"].strip("[]"), int(found["port"])), timeout=_PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"--address '{address}': nothing answers there ({error}); start a cluster with 'ray start --head' and pass "
            "the address that it prints, or leave --address out to start one on this machine"
        ) from error


def crew_size(workers: int | None, cpus: int, gpus: float) -> int:
    """Say how many workers there are to be.

    Parameters
    ----------
    workers
        As many as are wanted; None for one on each GPU (or share of one), without GPUs one on each machine.
    cpus, gpus
        What one worker takes.

    Raises
    ------
    SettingError
        If the cluster is too small for them, whatever else runs on it.
    """
    machines = [node["Resources"] for node in import_ray().nodes() if node["Alive"]]
    room = [_room(machine, cpus, gpus) for machine in machines]
    if workers is None:
        workers = sum(room) if gpus else sum(one > 0 for one in room)
    if 0 < workers <= sum(room):
        return workers
    all_gpus, all_cpus = (sum(machine.get(kind, 0) for machine in machines) for kind in ("GPU", "CPU"))
    has = f"the cluster has {all_gpus:g} GPUs and {all_cpus:g} CPUs on {len(machines)} machines"
    if gpus and not all_gpus:
        raise SettingError(
            f"--gpus-per-worker {gpus:g}: {has}; pass --gpus-per-worker 0 to compute on CPUs, or the --address of a "
            "cluster with GPUs"
        )
    needs = f"{gpus:g} GPUs and {cpus} CPUs" if gpus else f"{cpus} CPUs, one for each of the threads of this process,"
    remedy = f"pass --workers {sum(room)}" if sum(room) else "pass the --address of a larger one"
    fewer = "" if gpus or cpus == 1 else ", or set OMP_NUM_THREADS to a smaller number"
    raise SettingError(f"--workers {workers or 1}: each needs {needs} and {has}; {remedy}{fewer}")


def _room(machine: dict[str, float], cpus: int, gpus: float) -> int:
    """How many workers fit on one machine."""
    rooms = [int(machine.get("CPU", 0) / cpus + 1e-9)]
    if gpus:
        rooms.append(int(1 / gpus + 1e-9) * int(machine.get("GPU", 0)))
    return min(rooms)
