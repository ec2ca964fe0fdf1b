"""What every training here shares: a fixed plan of batches, repeatable arithmetic, checkpoints that can be trusted.

The transformers Trainer does the training. Around it:

- The whole training is one pass over a *plan*, a list of batches of (epoch, example) pairs that follows from the seed.
  The Trainer resumes by skipping batches, so a resumed run sees what the undisturbed one would have.
- Noise is a hash of (seed, epoch, example, position) and dropout is seeded anew at each step: no generator's state
  has to survive.
- A checkpoint counts once its seal, written last, lists the hash of each of its files.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from edgebert import tasks
from edgebert.artifact import sha256
from edgebert.compress.noise import mix, shuffled
from edgebert.errors import DataError, TrainingError
from edgebert.progress import Progress
from edgebert.tasks import Record
from edgebert.tokenization import load_tokenizer

#: Seconds of training that a kill may cost.
CHECKPOINT_EVERY = 20.0
#: Batches are cut from windows of so many batches sorted by length: little padding, and still a random order.
WINDOW = 50
SEAL = "sealed.json"
_FINGERPRINT_VERSION = 1

Batch = dict[str, Tensor]


class Settings(Protocol):
    """The training keys that fine-tuning and distillation have in common."""

    @property
    def epochs(self) -> int: ...
    @property
    def lr(self) -> float: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def warmup(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def max_steps(self) -> int | None: ...


@dataclass(frozen=True)
class Examples:
    """A split as token ids, not padded, and label numbers (int64)."""

    ids: list[list[int]]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Job:
    """One training.

    `loss` takes the model and a batch and returns a scalar; `collate` makes a batch of (epoch, example) pairs;
    `identity` is everything that the result depends on besides the settings, as plain JSON.
    """

    name: str
    model: Any
    loss: Callable[[Any, Batch], Tensor]
    collate: Callable[[Sequence[tuple[int, int]]], Batch]
    lengths: Sequence[int]
    settings: Settings
    identity: Mapping[str, Any]
    work: Path
    progress: Progress
    checkpoint_every: float = CHECKPOINT_EVERY


def encode(records: Sequence[Record], folder: Path, task: str, labels: Sequence[str], max_length: int) -> Examples:
    """Tokenize a split with the folder's tokenizer.json, cut at `max_length` tokens.

    Raises:
        DataError: a label that is not among `labels`, or no records.
    """
    if not records:
        raise DataError("there is nothing to train on", "give at least one example")
    kind = tasks.get(task)
    number = {label: index for index, label in enumerate(labels)}
    unknown = sorted({str(record[kind.target]) for record in records} - set(number))
    if unknown:
        raise DataError(f"the label {unknown[0]!r} is not one of the {len(labels)} labels", "correct the data")
    encoded = kind.encode(load_tokenizer(folder, max_length), records)
    targets = np.array([number[record[kind.target]] for record in records], dtype=np.int64)
    return Examples([item.input_ids for item in encoded], targets)


def pad(rows: Sequence[Sequence[int]], value: int) -> tuple[Tensor, Tensor]:
    """Token ids and mask, both int64 [B, T], padded to the longest row."""
    width = max(len(row) for row in rows)
    ids = np.full((len(rows), width), value, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def plan(lengths: Sequence[int], settings: Settings) -> list[list[tuple[int, int]]]:
    """All batches of a training in order, each a list of (epoch, example); texts of like length stand together."""
    batches: list[list[tuple[int, int]]] = []
    size = settings.batch_size
    for epoch in range(settings.epochs):
        order = shuffled(len(lengths), settings.seed, epoch, 0)
        cut = []
        for start in range(0, len(order), size * WINDOW):
            window = sorted(order[start : start + size * WINDOW].tolist(), key=lambda i: lengths[i])
            cut += [[(epoch, i) for i in window[at : at + size]] for at in range(0, len(window), size)]
        batches += [cut[i] for i in shuffled(len(cut), settings.seed, epoch, 1)]
    return batches[: settings.max_steps]


@contextmanager
def repeatable(threads: int | None) -> Iterator[None]:
    """Deterministic kernels and a fixed number of threads (default: as torch is set) inside the block."""
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    fill = torch.utils.deterministic.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic matrix products want on a GPU
    try:
        torch.set_num_threads(threads or before[0])
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.utils.deterministic.fill_uninitialized_memory = fill


def train(job: Job) -> None:
    """Train `job.model` in place, from its last sealed checkpoint in `job.work` where there is one.

    Raises:
        TrainingError: the loss is no longer a number.
    """
    batches = plan(job.lengths, job.settings)
    if not batches:
        return
    job.work.mkdir(parents=True, exist_ok=True)
    identity = fingerprint(job)
    checkpoint = usable_checkpoint(job.work, identity)
    if checkpoint is not None:
        job.progress.say(f"{job.name}: resuming at step {checkpoint.name.rpartition('-')[2]} of {len(batches)}")
    trainer = _Trainer(job, batches, identity)
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        transformers.logging.set_verbosity(verbosity)
    job.model.to("cpu").eval()


def accuracy(model: Any, examples: Examples, pad_id: int, batch_size: int = 64) -> float:
    """The share of examples whose largest logit is their label, 0 to 1."""
    order = sorted(range(len(examples)), key=lambda i: len(examples.ids[i]))
    right = 0
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            ids, mask = pad([examples.ids[i] for i in rows], pad_id)
            answers = model(input_ids=ids, attention_mask=mask).logits.argmax(dim=-1).numpy()
            right += int((answers == examples.labels[rows]).sum())
    return right / len(examples)


def fingerprint(job: Job) -> str:
    """SHA-256 over all that a checkpoint depends on: one of another training must not be taken up."""
    keys = ("epochs", "lr", "batch_size", "seed", "warmup", "weight_decay", "max_steps")
    content = {
        "version": _FINGERPRINT_VERSION,
        "settings": {key: getattr(job.settings, key) for key in keys},
        "identity": job.identity,
        "lengths": list(job.lengths),
        "threads": torch.get_num_threads(),
        "tools": {name: version(name) for name in ("torch", "transformers", "accelerate")},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def digest(examples: Examples) -> str:
    """SHA-256 of a split's token ids and labels."""
    content = json.dumps([examples.ids, examples.labels.tolist()])
    return hashlib.sha256(content.encode()).hexdigest()


def usable_checkpoint(work: Path, identity: str) -> Path | None:
    """The last checkpoint that is whole and of this training; all others are removed."""
    best: Path | None = None
    for path in sorted(work.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]), reverse=True):
        if best is None and _is_sealed(path, identity):
            best = path
        else:
            shutil.rmtree(path)
    return best


def _seal(path: Path, identity: str) -> None:
    files = {file.name: sha256(file) for file in sorted(path.iterdir()) if file.name != SEAL}
    draft = path / f"{SEAL}.new"
    draft.write_text(json.dumps({"identity": identity, "files": files}), encoding="utf-8")
    draft.rename(path / SEAL)


def _is_sealed(path: Path, identity: str) -> bool:
    try:
        seal = json.loads((path / SEAL).read_text("utf-8"))
        return bool(
            seal["identity"] == identity
            and all(sha256(path / name) == expected for name, expected in seal["files"].items())
        )
    except (OSError, ValueError, KeyError):
        return False


class _Plan(Dataset[tuple[int, int]]):
    """Pairs (epoch, example) are their own items; the collator makes batches of them."""

    def __init__(self, batches: Sequence[Sequence[tuple[int, int]]]) -> None:
        self._size = sum(len(batch) for batch in batches)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, item: Any) -> tuple[int, int]:
        return (item[0], item[1])


class _Trainer(Trainer):
    """The Trainer, with our loss and our order of batches."""

    def __init__(self, job: Job, batches: list[list[tuple[int, int]]], identity: str) -> None:
        on_gpu = torch.cuda.is_available()
        settings = job.settings
        arguments = TrainingArguments(
            output_dir=str(job.work),
            max_steps=len(batches),
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.lr,
            warmup_steps=math.ceil(settings.warmup * len(batches)),
            weight_decay=settings.weight_decay,
            seed=settings.seed,
            save_strategy="no",  # _Watch saves by the clock
            save_total_limit=2,  # one may be half written when the process ends
            logging_steps=10,
            logging_nan_inf_filter=False,
            report_to=[],
            disable_tqdm=True,
            use_cpu=not on_gpu,
            dataloader_pin_memory=False,
        )
        arguments._n_gpu = min(arguments._n_gpu, 1)  # several would each see a part of a batch
        super().__init__(
            model=job.model, args=arguments, train_dataset=_Plan(batches), callbacks=[_Watch(job, identity)]
        )
        self.remove_callback(PrinterCallback)  # it prints to stdout, which is for results
        self._job = job
        self._batches = batches

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.train_dataset, batch_sampler=self._batches, collate_fn=self._job.collate)  # type: ignore[arg-type]

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        return self._job.loss(model, inputs)

    def floating_point_ops(self, inputs: Any) -> int:
        return 0


class _Watch(TrainerCallback):
    """Seeds each step, tells how far the training is, and has it saved now and then."""

    def __init__(self, job: Job, identity: str) -> None:
        self._job = job
        self._identity = identity
        self._saved = time.monotonic()
        self._pause = job.checkpoint_every
        self._note = ""

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        torch.manual_seed(int(mix(self._job.settings.seed, state.global_step)[0] >> np.uint64(1)))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._job.progress.step(self._job.name, state.global_step, state.max_steps, self._note)
        if time.monotonic() - self._saved >= self._pause and state.global_step < state.max_steps:
            control.should_save = True
            self._saved = time.monotonic()

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any
    ) -> None:
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            raise TrainingError(
                f"{self._job.name}: the loss is no longer a number at step {state.global_step}", "lower lr"
            )
        self._note = f"loss {loss:.3f}"

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        _seal(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", self._identity)
        now = time.monotonic()
        self._pause = max(self._job.checkpoint_every, 20 * (now - self._saved))  # a large model: at most 5 % of the time
        self._saved = now
