"""What every training here shares: a fixed plan of batches, repeatable arithmetic, checkpoints that can be trusted.

The transformers Trainer does the training. Around it:

- The whole training is one pass over a *plan*, a list of batches of (epoch, example) pairs that follows from the seed.
  The Trainer resumes by skipping batches, so a resumed run sees what the undisturbed one would have.
- Noise is a hash of (seed, epoch, example, position) and dropout is seeded anew at each step: no generator's state
  has to survive.
- A checkpoint that is only half written when the process ends is not taken up (`checkpoints`).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
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
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from edgebert import metrics
from edgebert.compress.batches import Plan, pad
from edgebert.compress.checkpoints import CHECKPOINT_EVERY, seal, usable_checkpoint
from edgebert.compress.folder import quiet
from edgebert.compress.kernels import QuickAttention
from edgebert.compress.noise import mix
from edgebert.errors import TrainingError
from edgebert.progress import Progress
from edgebert.tasks import Answered, Record, Task
from edgebert.tokenization import load_tokenizer

_FINGERPRINT_VERSION = 5

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

    `loss` takes the model and a batch and returns a scalar; `collate` makes a batch of (epoch, example) pairs;
    `identity` is everything that the result depends on besides the settings, as plain JSON.
    """

    name: str
    model: Any
    loss: Callable[[Any, Batch], Tensor]
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
        TrainingError: the loss is no longer a number.
    """
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
    job.work.mkdir(parents=True, exist_ok=True)
    identity = fingerprint(job)
    checkpoint = usable_checkpoint(job.work, identity)
    if checkpoint is not None:
        job.progress.say(f"{job.name}: resuming at step {checkpoint.name.rpartition('-')[2]} of {len(batches)}")
    trainer = _Trainer(job, batches, identity)
    with quiet():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    job.model.to("cpu").eval()


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
    """SHA-256 over all that a checkpoint depends on: one of another training must not be taken up."""
    keys = ("epochs", "lr", "batch_size", "seed", "warmup", "weight_decay", "max_steps", "precision")
    content = {
        "version": _FINGERPRINT_VERSION,
        "settings": {key: getattr(job.settings, key) for key in keys},
        "identity": job.identity,
        "lengths": hashlib.sha256(job.lengths.tobytes()).hexdigest(),
        "threads": torch.get_num_threads(),
        "tools": {name: version(name) for name in ("torch", "transformers", "accelerate")},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class _Pairs(Dataset[tuple[int, int]]):
    """Pairs (epoch, example) are their own items; the collator makes batches of them."""

    def __init__(self, batches: Plan, size: int) -> None:
        self._size = len(batches) * size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, item: Any) -> tuple[int, int]:
        return (item[0], item[1])


class _Trainer(Trainer):
    """The Trainer, with our loss and our order of batches."""

    def __init__(self, job: Job, batches: Plan, identity: str) -> None:
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
            bf16=settings.precision == "bf16",
            dataloader_pin_memory=False,
        )
        arguments._n_gpu = min(arguments._n_gpu, 1)  # several would each see a part of a batch
        super().__init__(
            model=job.model,
            args=arguments,
            train_dataset=_Pairs(batches, settings.batch_size),
            callbacks=[_Watch(job, identity)],
        )
        self.remove_callback(PrinterCallback)  # type: ignore[no-untyped-call]  # it prints to stdout, which is for results
        self._job = job
        self._batches = batches

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.train_dataset, batch_sampler=self._batches, collate_fn=self._job.collate)  # type: ignore[arg-type]

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        with QuickAttention():
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
        torch.manual_seed(int(mix(self._job.settings.seed, state.global_step)[0]) >> 1)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._job.progress.step(self._job.name, state.global_step, state.max_steps, self._note)
        if time.monotonic() - self._saved >= self._pause and state.global_step < state.max_steps:
            control.should_save = True
            self._saved = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Any = None,
        **kwargs: Any,
    ) -> None:
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            raise TrainingError(
                f"{self._job.name}: the loss is no longer a number at step {state.global_step}", "lower lr"
            )
        self._note = f"loss {loss:.3f}"

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        seal(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", self._identity)
        now = time.monotonic()
        self._pause = max(
            self._job.checkpoint_every, 20 * (now - self._saved)
        )  # a large model: at most 5 % of the time
        self._saved = now
