"""What every training here shares: a fixed plan of batches, repeatable arithmetic, checkpoints that can be trusted.

The transformers Trainer does the training (`trainer`). Around it:

- The whole training is one pass over a *plan*, a list of batches of (epoch, example) pairs that follows from the seed.
  The Trainer resumes by skipping batches, so a resumed run sees what the undisturbed one would have.
- Noise is a hash of (seed, epoch, example, position) and dropout is seeded anew at each step: no generator's state
  has to survive.
- A checkpoint that is only half written when the process ends is not taken up (`checkpoints`).
- Several processes divide each batch of the plan among them (`sharing`): it stays as large as the recipe has it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgebert import metrics, parallel
from edgebert.compress.batches import Plan, pad
from edgebert.compress.checkpoints import CHECKPOINT_EVERY, usable_checkpoint
from edgebert.compress.folder import quiet
from edgebert.compress.sharing import Share
from edgebert.errors import TrainingError
from edgebert.progress import Progress
from edgebert.tasks import Answered, Record, Task
from edgebert.tokenization import load_tokenizer

_FINGERPRINT_VERSION = 6

Batch = dict[str, Tensor]


class Settings(Protocol):
    """The training keys that fine-tuning and distillation have in common."""

    @property
    def epochs(self) -> int:
        """Passes over the examples."""

    @property
    def lr(self) -> float:
        """Peak learning rate."""

    @property
    def batch_size(self) -> int:
        """Examples per step."""

    @property
    def seed(self) -> int:
        """Decides order, noise and dropout."""

    @property
    def warmup(self) -> float:
        """Share of the steps in which the learning rate rises."""

    @property
    def weight_decay(self) -> float:
        """Of AdamW."""

    @property
    def max_steps(self) -> int | None:
        """Where to stop before the epochs are done."""

    @property
    def precision(self) -> str:
        """Of the matrix products: fp32 or bf16."""


@dataclass(frozen=True)
class Job:
    """One training.

    `loss` takes the model, a batch, and where several processes train, what this one's is of the whole batch; it
    returns a scalar. `collate` makes a batch of (epoch, example) pairs;
    `identity` is everything that the result depends on besides the settings, as plain JSON.
    """

    name: str
    model: Any
    loss: Callable[[Any, Batch, Share | None], Tensor]
    collate: Callable[[Sequence[tuple[int, int]]], Batch]
    lengths: NDArray[np.int64]
    settings: Settings
    identity: Mapping[str, Any]
    work: Path
    progress: Progress
    checkpoint_every: float = CHECKPOINT_EVERY


@contextmanager
def repeatable(threads: int | None) -> Iterator[None]:
    """Deterministic kernels and a fixed number of threads (default: as torch is set) inside the block."""
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic matrix products want on a GPU
    try:
        torch.set_num_threads(threads or before[0])
        torch.use_deterministic_algorithms(True)
        memory.fill_uninitialized_memory = False
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        memory.fill_uninitialized_memory = fill


def train(job: Job) -> None:
    """Train `job.model` in place, from its last sealed checkpoint in `job.work` where there is one.

    Raises:
        TrainingError: the loss is no longer a number, another process has ended or trains something else, or the GPU
            has no arithmetic of that precision.
    """
    from edgebert.compress.trainer import PlannedTrainer

    settings = job.settings
    batches = Plan(
        job.lengths,
        epochs=settings.epochs,
        size=settings.batch_size,
        seed=settings.seed,
        max_steps=settings.max_steps,
    )
    if not batches:
        return
    if settings.precision == "bf16" and torch.cuda.is_available() and not torch.cuda.is_bf16_supported():
        raise TrainingError(f"{job.name}: {torch.cuda.get_device_name()} does not compute in bf16", "precision: fp32")
    identity = fingerprint(job)
    agreed, checkpoint = parallel.first(lambda: [identity, _last_checkpoint(job.work, identity)])
    if agreed != identity:
        raise TrainingError(
            f"{job.name}: process {parallel.rank()} has other data, models or packages than process 0",
            "give all machines the same files and the same versions",
        )
    if checkpoint is not None:
        job.progress.say(f"{job.name}: resuming at step {checkpoint.rpartition('-')[2]} of {len(batches)}")
    parallel.connect()
    with quiet(), parallel.heeded():
        trainer = PlannedTrainer(job, batches, identity)
        trainer.train(resume_from_checkpoint=str(job.work / checkpoint) if checkpoint else None)
    job.model.to("cpu").eval()


def _last_checkpoint(work: Path, identity: str) -> str | None:
    work.mkdir(parents=True, exist_ok=True)
    found = usable_checkpoint(work, identity)
    return found.name if found else None


def evaluate(
    model: Any, task: Task, records: Sequence[Record], folder: Path, labels: Sequence[str], max_length: int
) -> float | None:
    """The task's metric on some records, answered in torch; None where it takes a teacher to compare with.

    Args:
        model: as `heads.callable_model` gives it.
        task: without tuned thresholds.
        records: with their targets.
        folder: whose tokenizer.json is used.
        labels: in the model's order.
        max_length: of a window.
    """
    tokenizer = load_tokenizer(folder, None if task.windowed else max_length)
    windows = [task.encode(tokenizer, record, max_length) for record in records]
    every = [window for record in windows for window in record]
    order = sorted(range(len(every)), key=lambda i: len(every[i].input_ids))
    found: list[Any] = [None] * len(every)
    with torch.inference_mode():
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            ids, mask = pad([every[i].input_ids for i in rows], 0)
            given = {"input_ids": ids, "attention_mask": mask}
            if task.segments and accepts_types(model):
                given["token_type_ids"] = pad([every[i].token_type_ids for i in rows], 0)[0]
            outputs = model(**given)
            for row, i in enumerate(rows):
                used = len(every[i].input_ids)
                found[i] = {n: outputs[n][row, :used].numpy() if task.per_token else outputs[n][row].numpy()
                            for n in task.outputs}  # fmt: skip
    answers = iter(found)
    answered = [
        Answered(record, made, [next(answers) for _ in made]) for record, made in zip(records, windows, strict=True)
    ]
    scored = task.score(answered, labels)
    return None if scored.units is None else metrics.value(scored.metric, scored.units)


def accepts_types(model: Any) -> bool:
    """Whether a model tells segments apart: DistilBERT does not."""
    return int(getattr(model.config, "type_vocab_size", 0) or 0) > 1


def fingerprint(job: Job) -> str:
    """SHA-256 over all that a checkpoint depends on: one of another training must not be taken up.

    How many processes and threads compute it is no part of that: it changes the order of sums alone.
    """
    keys = ("epochs", "lr", "batch_size", "seed", "warmup", "weight_decay", "max_steps", "precision")
    content = {
        "version": _FINGERPRINT_VERSION,
        "settings": {key: getattr(job.settings, key) for key in keys},
        "identity": job.identity,
        "lengths": hashlib.sha256(job.lengths.tobytes()).hexdigest(),
        "tools": {name: version(name) for name in ("torch", "transformers", "accelerate")},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
