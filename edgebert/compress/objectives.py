"""What a task wants of a training: targets out of records, and how far answers are from the teacher and from them.

A target is an array for each window; what must not be learned from holds `IGNORED` (integers) or NaN (floats): special
tokens, and records without a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebert.errors import DataError
from edgebert.tasks import Encoded, Record, Task

if TYPE_CHECKING:
    from torch import Tensor

    from edgebert.compress.losses import Pair
    from edgebert.compress.sharing import Unit

IGNORED = -100

Target = NDArray[Any]


@dataclass(frozen=True)
class Objective:
    """How one kind of task is trained.

    Args:
        targets: of each window of a record: (record, windows, label -> number).
        imitate: the distance from the teacher's answer, a scalar.
        label: the distance from the targets, a scalar; None where data has no right answers.
        per_token: a target has a number for each token.
        answers_per_token: the model's outputs have a row for each token.
        unit: what `imitate` is a mean over (`sharing`).
    """

    targets: Callable[[Record, Sequence[Encoded], Mapping[str, int]], list[Target]]
    imitate: Callable[[Pair], Tensor]
    label: Callable[[Pair], Tensor] | None
    per_token: bool = False
    answers_per_token: bool = False
    unit: Unit = "rows"


def objective(task: Task) -> Objective:
    """The objective of a task; text classification has one for each kind of problem."""
    return OBJECTIVES[getattr(task, "problem", task.name)]


def _single(record: Record, windows: Sequence[Encoded], numbers: Mapping[str, int]) -> list[Target]:
    label = record.get("label")
    return [np.array(IGNORED if label is None else numbers[label])] * len(windows)


def _several(record: Record, windows: Sequence[Encoded], numbers: Mapping[str, int]) -> list[Target]:
    row = np.full(len(numbers), np.nan if "label" not in record else 0.0, dtype=np.float32)
    for label in record.get("label", ()):
        row[numbers[label]] = 1.0
    return [row] * len(windows)


def _number(record: Record, windows: Sequence[Encoded], numbers: Mapping[str, int]) -> list[Target]:
    return [np.array([record.get("label", np.nan)], dtype=np.float32)] * len(windows)


def _tokens(record: Record, windows: Sequence[Encoded], numbers: Mapping[str, int]) -> list[Target]:
    """The word's label at each of its pieces, as inside (I-) from the second on."""
    tags = record.get("tags")
    found = []
    for window in windows:
        row = np.full(len(window.input_ids), IGNORED)
        before = -1
        for token, word in enumerate(window.words):
            if word >= 0 and tags is not None:
                tag = tags[word]
                inside = f"I-{tag[2:]}" if tag.startswith("B-") and word == before else tag
                row[token] = numbers.get(inside, numbers[tag])
            before = word
        found.append(row)
    return found


def _answers(record: Record, windows: Sequence[Encoded], numbers: Mapping[str, int]) -> list[Target]:
    """First and last token of the first answer, or the first token of the window where it is not within."""
    answers = record.get("answers")
    if answers is None:
        return [np.array([IGNORED, IGNORED])] * len(windows)
    found = []
    for window in windows:
        first = last = 0
        if answers:
            start = answers[0]["answer_start"]
            end = start + len(answers[0]["text"])
            inside = [i for i, word in enumerate(window.words) if word >= 0 and _meets(window.offsets[i], start, end)]
            if inside and window.offsets[inside[0]][0] <= start and window.offsets[inside[-1]][1] >= end:
                first, last = inside[0], inside[-1]
        found.append(np.array([first, last]))
    return found


def _meets(span: tuple[int, int], start: int, end: int) -> bool:
    return span[0] < end and span[1] > start


def _no_targets(record: Record, windows: Sequence[Encoded], numbers: Mapping[str, int]) -> list[Target]:
    return [np.array(IGNORED)] * len(windows)


def _divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL divergence per row at a temperature T, times T squared (Hinton et al. 2015, arXiv:1503.02531)."""
    from torch.nn import functional

    found = functional.log_softmax(student / temperature, dim=-1)
    wanted = functional.log_softmax(teacher / temperature, dim=-1)
    divergence = functional.kl_div(found, wanted, reduction="none", log_target=True).sum(dim=-1)
    return divergence * temperature**2


def _focused(pair: Pair, rows: Tensor) -> Tensor:
    """Rows that the teacher answers as the data does weigh 1 + focus, so that the student keeps what was right.

    Focal distillation of Yan et al. 2021 ("Positive-congruent training", arXiv:2011.09161); the others weigh 1.
    """
    if not pair.focus:
        return rows
    right = pair.teacher["logits"].argmax(dim=-1) == pair.targets
    return rows * (1.0 + pair.focus * right.to(rows.dtype))


def imitate_label(pair: Pair) -> Tensor:
    """Mean divergence over windows, logits [B, C]."""
    return _focused(pair, _divergence(pair.student["logits"], pair.teacher["logits"], pair.temperature)).mean()


def imitate_tokens(pair: Pair) -> Tensor:
    """Mean divergence over real tokens, logits [B, T, C].

    A token weighs 1, and `entity_weight` more in the share that the teacher sees it in an entity: nine of ten tokens
    are in none, and a student that hears of nothing else misses the rest.
    """
    rows = _focused(pair, _divergence(pair.student["logits"], pair.teacher["logits"], pair.temperature))
    if pair.entity_weight and pair.outside is not None:
        rows = rows * (1.0 + pair.entity_weight * (1.0 - pair.teacher["logits"].softmax(dim=-1)[..., pair.outside]))
    return (rows * pair.mask).sum() / pair.mask.sum()


def imitate_several(pair: Pair) -> Tensor:
    """Binary cross-entropy with the teacher's probabilities, less the least possible, logits [B, C]."""
    from torch.nn import functional

    wanted = pair.teacher["logits"].sigmoid()
    loss = functional.binary_cross_entropy_with_logits
    return loss(pair.student["logits"], wanted) - loss(pair.teacher["logits"], wanted)


def imitate_number(pair: Pair) -> Tensor:
    """Mean squared error, [B, 1]."""
    return (pair.student["logits"] - pair.teacher["logits"]).square().mean()


def imitate_span(pair: Pair) -> Tensor:
    """Mean divergence of first and last token over the window, logits [B, T] each."""
    outside = (1.0 - pair.mask.to(pair.student["start_logits"].dtype)) * -1e4
    rows = [
        _divergence(pair.student[name] + outside, pair.teacher[name] + outside, pair.temperature)
        for name in ("start_logits", "end_logits")
    ]
    return (rows[0].mean() + rows[1].mean()) / 2


def imitate_vector(pair: Pair) -> Tensor:
    """One minus the cosine with the teacher's vector, plus the squared error of the batch's similarities.

    The second keeps neighbours neighbours (Park et al. 2019, "Relational knowledge distillation", arXiv:1904.05068;
    Tung & Mori 2019, arXiv:1907.09682), those of other processes too.
    """
    from torch.nn import functional

    student, teacher = (functional.normalize(side["embedding"], dim=-1) for side in (pair.student, pair.teacher))
    if pair.share is not None:
        student, teacher = pair.share.whole(student), pair.share.whole(teacher)
    apart = 1.0 - (student * teacher).sum(dim=-1).mean()
    return apart + (student @ student.T - teacher @ teacher.T).square().mean()


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over what is not ignored; 0 where all is."""
    from torch.nn import functional

    known = (targets != IGNORED).sum().clamp(min=1)
    return functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum") / known


def label_single(pair: Pair) -> Tensor:
    """Cross-entropy, logits [B, C], targets int64 [B]."""
    return _cross_entropy(pair.student["logits"], pair.targets)


def label_tokens(pair: Pair) -> Tensor:
    """Cross-entropy over tokens, logits [B, T, C], targets int64 [B, T]."""
    logits = pair.student["logits"]
    return _cross_entropy(logits.reshape(-1, logits.shape[-1]), pair.targets.reshape(-1))


def label_span(pair: Pair) -> Tensor:
    """Cross-entropy of first and last token, logits [B, T] each, targets int64 [B, 2]."""
    logits = pair.student
    outside = (1.0 - pair.mask.to(logits["start_logits"].dtype)) * -1e4
    first = _cross_entropy(logits["start_logits"] + outside, pair.targets[:, 0])
    return (first + _cross_entropy(logits["end_logits"] + outside, pair.targets[:, 1])) / 2


def label_several(pair: Pair) -> Tensor:
    """Binary cross-entropy, logits and targets float [B, C]."""
    from torch.nn import functional

    known = ~pair.targets.isnan()
    wanted = pair.targets.nan_to_num(0.0)
    rows = functional.binary_cross_entropy_with_logits(pair.student["logits"], wanted, reduction="none")
    return (rows * known).sum() / known.sum().clamp(min=1)


def label_number(pair: Pair) -> Tensor:
    """Mean squared error, [B, 1]."""
    known = ~pair.targets.isnan()
    rows = (pair.student["logits"] - pair.targets.nan_to_num(0.0)).square()
    return (rows * known).sum() / known.sum().clamp(min=1)


OBJECTIVES = {
    "single-label": Objective(_single, imitate_label, label_single),
    "multi-label": Objective(_several, imitate_several, label_several),
    "regression": Objective(_number, imitate_number, label_number),
    "token-classification": Objective(
        _tokens, imitate_tokens, label_tokens, per_token=True, answers_per_token=True, unit="tokens"
    ),
    "question-answering": Objective(_answers, imitate_span, label_span, answers_per_token=True),
    "embeddings": Objective(_no_targets, imitate_vector, None, unit="batch"),
}


#: The problems whose logits loss can weigh what the teacher answers rightly.
FOCUSED = frozenset({"single-label", "token-classification"})


def check_labels(task: Task, records: Iterable[Record], labels: Sequence[str]) -> Iterator[Record]:
    """The records as they come, as long as their labels are the model's.

    Raises:
        DataError: naming a label that the model does not have.
    """
    known = set(labels)
    for record in records:
        target = record.get(task.target, ()) if task.labelled else ()
        for label in (target,) if isinstance(target, str) else target:
            if label not in known:
                raise DataError(f"the label {label!r} is not one of the {len(labels)} labels", "correct the data")
        yield record
