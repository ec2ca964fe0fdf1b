"""The transformers Trainer as trainings here use it: batches of a plan, the loss of a job, checkpoints by the clock."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from edgebert import parallel
from edgebert.compress.batches import Plan
from edgebert.compress.checkpoints import seal
from edgebert.compress.kernels import QuickAttention
from edgebert.compress.noise import mix
from edgebert.compress.sharing import Learner, SharedCollate, averaged
from edgebert.errors import TrainingError

if TYPE_CHECKING:
    from edgebert.compress.training import Job


class _Pairs(Dataset[tuple[int, int]]):
    """Pairs (epoch, example) are their own items; the collator makes batches of them."""

    def __init__(self, batches: Plan, size: int) -> None:
        self._size = len(batches) * size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, item: Any) -> tuple[int, int]:
        return (item[0], item[1])


class PlannedTrainer(Trainer):
    """The Trainer, with our loss and our order of batches; `identity` seals its checkpoints."""

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
        """The plan's batches, or this process's share of each."""
        collate = self._job.collate if parallel.world() == 1 else SharedCollate(self._job.collate)
        return DataLoader(self.train_dataset, batch_sampler=self._batches, collate_fn=collate)  # type: ignore[arg-type]

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The job's loss, a scalar."""
        share = inputs.pop("share").compared(self.args.device) if parallel.world() > 1 else None
        with QuickAttention():
            return self._job.loss(model, inputs, None) if share is None else model(inputs, share)

    def _wrap_model(self, model: Any, training: bool = True, dataloader: Any = None) -> Any:
        """With several processes the loss is computed inside of what averages the gradients.

        Losses read weights that the model's own forward does not, and leave others out.
        """
        if parallel.world() == 1 or not training:
            return super()._wrap_model(model, training, dataloader)  # type: ignore[no-untyped-call]
        # In evaluation mode accelerate puts the model on its device and casts, and wraps it no further.
        learner = Learner(self.accelerator.prepare_model(model, evaluation_mode=True), self._job.loss)
        return averaged(learner, self.args.device)

    def floating_point_ops(self, inputs: Any) -> int:
        """Nobody asks."""
        return 0

    def store_flos(self) -> None:
        """Nothing: it would wait for all processes, and one saves alone."""

    def _save_rng_state(self, output_dir: str) -> None:
        """Nothing: each step is seeded anew."""


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
        other = (parallel.rank(),) if parallel.rank() else ()  # each share drops out what chance has it
        torch.manual_seed(int(mix(self._job.settings.seed, state.global_step, *other)[0]) >> 1)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._job.progress.step(self._job.name, state.global_step, state.max_steps, self._note)
        if parallel.rank():  # only one saves
            return
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
