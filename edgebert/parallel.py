"""Several processes that train one model together, as `torchrun` starts them; of no effect where there is one.

All of them run the same flow. Rank 0 alone prepares, writes and tells; the others wait for it, take their share of each
batch, and leave once there is nothing more to train. What rank 0 has to say goes through the launcher's store, where a
wait of hours is no fault; gradients go through a process group, where one of ten minutes is.

The calls `first`, `alone` and `in_turn` must come in the same order in all processes.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from edgebert.errors import TrainingError, UsageError
from edgebert.processes import die_with_parent

#: How long a process may keep the others waiting within a training, and all of them may take to find one another.
PATIENCE = timedelta(minutes=10)

#: How often one that waits for rank 0 looks whether another has failed meanwhile.
_LOOK = timedelta(seconds=10)

#: What a launcher tells its processes; without all of the first line there is but one.
_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_TOLD = (
    *_NEEDED,
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "GROUP_WORLD_SIZE",
    "ROLE_RANK",
    "ROLE_WORLD_SIZE",
    "ACCELERATE_TORCH_DEVICE",
)
_ENDED = "another process of this training has ended, or has not answered for 10 minutes"
_AGAIN = "start the same command again: it goes on from the last checkpoint"

T = TypeVar("T")


@dataclass
class _Group:
    """The processes once they have found one another: the launcher's store, and how often rank 0 has spoken."""

    store: Any
    said: int = 0


_group: _Group | None = None


def world() -> int:
    """How many processes train together."""
    return int(os.environ["WORLD_SIZE"]) if all(os.environ.get(name) for name in _NEEDED) else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return int(os.environ["RANK"]) if world() > 1 else 0


def join() -> None:
    """Find the other processes; where there are none, forget what a launcher told of them.

    Raises:
        TrainingError: they do not come.
    """
    global _group
    if world() == 1:
        _forget()
        return
    if _group is not None:
        return
    if "TORCHELASTIC_RUN_ID" in os.environ:  # the parent is the launcher, which is to be the end of all
        die_with_parent(os.getppid())
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # read when torch is loaded: what matters is told here
    if rank() > 0:
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
    from torch.distributed.rendezvous import rendezvous

    try:
        store, _, _ = next(rendezvous("env://", timeout=PATIENCE))
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise TrainingError(
            f"the {world()} processes of this training have not found one another at {where}",
            "start all of them with one torchrun, or without it unset RANK and WORLD_SIZE",
        ) from error
    _group = _Group(store)


def connect() -> None:
    """Have the processes share a process group, over which gradients are averaged: NCCL on GPUs, gloo on CPUs.

    Raises:
        UsageError: more processes than GPUs on this machine.
    """
    if world() == 1:
        return
    import torch
    from torch import distributed

    if distributed.is_initialized():
        return
    backend = "gloo"
    if torch.cuda.is_available():
        own, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if own >= there:
            raise UsageError(
                f"process {own + 1} of this machine has no GPU left, there are {there}", f"--nproc-per-node {there}"
            )
        torch.cuda.set_device(own)
        backend = "cpu:gloo,cuda:nccl"
    else:
        os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"  # it would be cpu:0, where torch loads no checkpoint to
    store = _joined().store
    distributed.init_process_group(backend, store=store, rank=rank(), world_size=world(), timeout=PATIENCE)


def first(make: Callable[[], T]) -> T:
    """What `make`, which rank 0 alone calls, returns; in the others it has been through JSON."""
    if world() == 1:
        return make()
    group = _joined()
    key = f"edgebert/said/{group.said}"
    group.said += 1
    with _heard():
        if rank() == 0:
            made = make()
            group.store.set(key, json.dumps(made))
            return made
        while not _came(group.store, key):
            pass
        found: T = json.loads(group.store.get(key))
        return found


def alone(make: Callable[[], object]) -> None:
    """Rank 0 alone calls `make`; the others go on once it has."""

    def silent() -> None:
        make()

    first(silent)


def in_turn(make: Callable[[], T]) -> T:
    """Every process calls `make`, and the others once rank 0 has: they find there what it has left on disk."""
    if world() == 1:
        return make()
    if rank() == 0:
        made = make()
        first(lambda: None)
        return made
    first(lambda: None)
    return make()


def leave() -> None:
    """End all processes but rank 0, which goes on as if it had been started alone; in between, no group is left.

    Raises:
        SystemExit: of code 0, in the others.
    """
    global _group
    if world() > 1:
        if _group is not None:
            from torch import distributed

            if distributed.is_initialized():
                distributed.destroy_process_group()
        if rank() > 0:
            raise SystemExit(0)
        if "OMP_NUM_THREADS" in os.environ and not _launcher_has("OMP_NUM_THREADS"):
            del os.environ["OMP_NUM_THREADS"]  # torchrun sets it to 1: exports are not to have that of it
    _group = None
    _forget()


@contextmanager
def heeded() -> Iterator[None]:
    """Inside a training, the end of another process is told as what it is.

    Raises:
        TrainingError: another process has ended, or does not answer.
    """
    try:
        yield
    except RuntimeError as error:
        if world() == 1 or not _of_the_group(error):
            raise
        raise TrainingError(_ENDED, _AGAIN) from error


def speaks() -> bool:
    """Whether this process is to tell what went wrong: the first that something does, since the others follow it."""
    if world() == 1 or _group is None:
        return rank() == 0
    with suppress(RuntimeError):  # a store that is gone went with the launcher
        if _group.store.add("edgebert/failed", 1) == 1:
            return True
    time.sleep(1)  # for the other to have told it: when one process ends, the launcher ends all
    return False


def _joined() -> _Group:
    join()
    assert _group is not None
    return _group


def _came(store: Any, key: str) -> bool:
    """Whether rank 0 has said it, after some seconds at the most. Raises TrainingError where it never will."""
    from torch import distributed

    try:
        store.wait([key], _LOOK)
    except distributed.DistStoreError:
        if store.check(["edgebert/failed"]):
            raise TrainingError(_ENDED, _AGAIN) from None
        return False
    return True


@contextmanager
def _heard() -> Iterator[None]:
    """Inside, a store that is gone is told as what it is: it ended with the launcher, or with rank 0."""
    from torch import distributed

    try:
        yield
    except distributed.DistNetworkError as error:
        raise TrainingError(_ENDED, _AGAIN) from error


def _of_the_group(error: RuntimeError) -> bool:
    """Whether the process group failed, not the arithmetic: gloo's errors have no class of their own."""
    from torch import distributed

    return isinstance(error, distributed.DistError) or "gloo" in str(error) or "NCCL" in str(error)


def _launcher_has(name: str) -> bool:
    """Whether the launcher, this process's parent, was itself started with the variable; yes where that is unknown."""
    if sys.platform != "linux":
        return True
    try:
        block = Path(f"/proc/{os.getppid()}/environ").read_bytes()
    except OSError:
        return True
    return any(entry.startswith(f"{name}=".encode()) for entry in block.split(b"\0"))


def _forget() -> None:
    """Take the launcher's variables away: child processes, and accelerate, would look for the others."""
    for name in _TOLD:
        os.environ.pop(name, None)
