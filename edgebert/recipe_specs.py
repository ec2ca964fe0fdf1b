"""The sections of a recipe: frozen, validated, with the defaults that a sensible engineer would choose.

The `description` of each key is what `edgebert schema recipe` and the documentation say about it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from edgebert.recipe_checks import Device, Losses, Setting, ascending, kind_of
from edgebert.recipe_data import Count, Fraction, Name, Positive, Spec
from edgebert.recipe_problems import LIST, MAPPING, NOTHING, NUMBER, TEXT

Layers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, strict=False)]
Limit = Annotated[
    Annotated[Positive, Tag(NUMBER)] | Annotated[dict[Device, Positive], Tag(MAPPING)],
    Discriminator(kind_of(NUMBER, MAPPING)),
]


class ScratchSpec(Spec):
    """The shape of a BERT that starts from random weights."""

    layers: Count = Field(default=4, description="encoder layers")
    hidden_size: Count = Field(default=128, description="width; a multiple of heads")
    heads: Count = Field(default=4, description="attention heads")
    intermediate_size: Count = Field(default=512, description="width of the feed-forward layers")
    vocabulary: int = Field(
        default=4000, ge=200, description="word pieces of the tokenizer that is trained on the train split"
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> ScratchSpec:
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}")
        return self


class _Training(Spec):
    batch_size: Count = Field(default=32, description="examples per step")
    seed: int = Field(default=0, ge=0, lt=2**32, description="decides order, noise and initial weights")
    warmup: Fraction = Field(default=0.1, description="share of the steps in which the learning rate rises")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW weight decay")
    max_steps: Count | None = Field(
        default=None, description="stop after so many steps; default: when the epochs are done"
    )
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32",
        description="arithmetic of the matrix products; bf16 is about twice as quick on processors that have it "
        "(AMX, AVX512-BF16, GPUs) and slower on others; weights and losses stay in FP32",
    )


class FineTuneSpec(_Training):
    """A teacher made here: from a body (`base`), or from nothing (`scratch`)."""

    base: Name | None = Field(default=None, description="a Hugging Face folder or hub id with the body to fine-tune")
    scratch: ScratchSpec | None = Field(default=None, description="the shape of a new BERT; instead of base")
    epochs: Count = Field(default=4, description="passes over the train split; with scratch the default is 20")
    lr: Positive = Field(default=1e-4, description="peak learning rate; with scratch the default is 0.001")

    @model_validator(mode="before")
    @classmethod
    def _scratch_defaults(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("scratch") is not None:
            return {"epochs": 20, "lr": 1e-3, **values}
        return values

    @model_validator(mode="after")
    def _one_origin(self) -> FineTuneSpec:
        if (self.base is None) == (self.scratch is None):
            raise ValueError("needs either base or scratch", "base: FOLDER_OR_HUB_ID, or scratch: {layers: 4, …}")
        return self


class StudentSpec(Spec):
    """What of the teacher the student keeps."""

    layers: Annotated[
        Annotated[Count, Tag(NUMBER)]
        | Annotated[Layers, Tag(LIST)]
        | Annotated[Literal["half"], Tag(TEXT)]
        | Annotated[None, Tag(NOTHING)],
        Discriminator(kind_of(NUMBER, LIST, TEXT, NOTHING)),
    ] = Field(
        default="half",
        description="how many of the teacher's layers to keep, or which ones (from 0); "
        "'half' of them evenly spread, null all of them",
    )
    layer_choice: Literal["uniform", "skip", "first", "last", "importance"] = Field(
        default="uniform",
        description="which layers when a number is given: evenly spread with the last, every so many from the first, "
        "the first, the last, or those without which the answers to the task's text change most",
    )
    intermediate_size: Count | None = Field(
        default=None,
        description="neurons to keep in each feed-forward layer, those that say most on the task's text; default: all",
    )
    heads: Count | None = Field(
        default=None,
        description="attention heads to keep in each layer, those that the answers depend on most; the hidden size "
        "shrinks with them unless it is given. Default: all, or as many as the hidden size has room for",
    )
    hidden_size: Count | None = Field(
        default=None,
        description="channels to keep between the layers, those that say most of the others on the task's text; a "
        "multiple of heads. Default: all",
    )
    init: Literal["teacher", "embeddings", "random"] = Field(
        default="teacher",
        description="where the weights begin: as the teacher's, or its embeddings alone, or none of them; what is not "
        "taken is drawn at random by distill.seed, and may be of any size, layers and intermediate_size too",
    )
    config: dict[Name, Setting] = Field(
        default={}, description="further settings of the student's Hugging Face configuration (hidden_act: relu)"
    )
    vocabulary: Literal["prune", "keep"] = Field(
        default="prune", description="prune: keep only the word pieces that the task's text needs"
    )
    corpus: Name | None = Field(
        default=None, description="a text file, relative to the recipe's folder, whose word pieces are needed too"
    )
    pieces: Count | None = Field(
        default=None,
        description="word pieces to keep at most when pruning, the most frequent; rarer words are then spelled from "
        "shorter pieces. Default: all that the text needs",
    )

    @model_validator(mode="after")
    def _pruned(self) -> StudentSpec:
        if self.vocabulary == "keep" and (self.corpus or self.pieces):
            raise ValueError("corpus and pieces say what pruning keeps", "make it vocabulary: prune, or leave them out")
        return self

    @field_validator("layers")
    @classmethod
    def _ascending(cls, value: Any) -> Any:
        return ascending(value, "layers") if isinstance(value, tuple) else value


class AugmentSpec(Spec):
    """Changes to the training text, others in each copy or epoch; the student learns what the teacher says of it."""

    words: Fraction = Field(
        default=0.0, description="share of words replaced by others that a masked-LM finds likely in their place"
    )
    typos: Fraction = Field(
        default=0.0,
        description="share of words mistyped as on a phone: a key beside, letters swapped, doubled, dropped",
    )
    pieces: Fraction = Field(
        default=0.0, description="probability that a word piece is refused, and the word split into smaller ones"
    )
    model: Name | None = Field(
        default=None,
        description="the masked-LM that words are taken from: a Hugging Face folder or hub id, of the teacher's "
        "vocabulary. Default: the teacher's own body, which guesses worse",
    )

    @model_validator(mode="after")
    def _something(self) -> AugmentSpec:
        if not (self.words or self.typos or self.pieces):
            raise ValueError("needs words, typos or pieces", "such as augment: {typos: 0.1, pieces: 0.1}")
        if self.model is not None and not self.words:
            raise ValueError("model is what words are taken from, and words is 0", "add words: 0.2, or leave it out")
        return self


class DistillSpec(_Training):
    """How the student learns from the teacher."""

    epochs: int = Field(
        default=6, ge=0, description="passes over the train split; 0 leaves the student as it is cut out"
    )
    layerwise_epochs: int = Field(
        default=0,
        ge=0,
        description="passes before the others in which each layer learns alone, from the teacher's states before and "
        "after it; worth it where a student learns from little text",
    )
    intermediate_epochs: int = Field(
        default=0,
        ge=0,
        description="passes before the last ones in which only the losses that look inside are used, as in TinyBERT",
    )
    losses: Losses = Field(
        default={"logits": 1.0, "hidden": 1.0},
        description="weight of each loss: logits (temperature-scaled KL), logits_mse, hidden (hidden states), "
        "hidden_cosine, embedding, attention_mse (scores), attention_kl (distributions), relations (MiniLMv2), "
        "label (cross-entropy); a loss that is not named is not used",
    )
    relation_heads: Count | None = Field(
        default=None, description="heads of the relations loss; default: the teacher's attention heads"
    )
    focus: float = Field(
        default=0.0,
        ge=0,
        description="how much more a text weighs in the logits loss that the teacher answers rightly; "
        "for single labels and tokens",
    )
    entity_weight: float = Field(
        default=10.0,
        ge=0,
        description="token classification: how much more a token weighs in the logits loss that the teacher sees in "
        "an entity",
    )
    temperature: Positive = Field(default=2.0, description="softens the teacher's answers in the logits loss")
    lr: Positive = Field(default=5e-4, description="peak learning rate")
    noise: Fraction = Field(default=0.1, description="share of word pieces replaced at random in the training text")
    augment: AugmentSpec | None = Field(
        default=None, description="changes to the words of the training text, beside the noise; default: none"
    )
    copies: Count | None = Field(
        default=None,
        description="noised copies of each text, which take turns: what the teacher answers to one is kept on disk, so "
        "that it reads each once. Default: other noise in every epoch, and nothing kept",
    )
    cache_gb: float = Field(
        default=8.0,
        ge=0,
        description="GB (10^9 bytes) of disk for the teacher's hidden states with copies; the rest is computed anew",
    )


class QatSpec(Spec):
    """Quantization-aware training: after the distillation, steps in which the student rounds as INT8 does."""

    steps: Count = Field(default=300, description="of distill.batch_size texts each")
    lr: Positive = Field(default=1e-4, description="peak learning rate")


def asked(value: Any) -> Any:
    """A section of which `true` says that its defaults are wanted, and `false` that it is not."""
    return {True: {}, False: None}.get(value, value) if isinstance(value, bool) else value


def true_too(schema: dict[str, Any]) -> None:
    """Have the JSON Schema of such a section say so."""
    schema["anyOf"].insert(0, {"type": "boolean"})


class MeasureSpec(Spec):
    """How often to measure."""

    launches: Count = Field(default=5, description="fresh processes per artifact and device")
    samples: Count = Field(default=200, description="latency samples per launch")
    threads: Count = Field(default=1, description="threads of the engine")
    repeats: int = Field(
        default=2,
        ge=0,
        description="how often a measurement that came out invalid (throttled, drifting, other work on the machine) "
        "is taken again",
    )
    rest_seconds: float = Field(
        default=60.0,
        ge=0,
        description="the longest wait before that; it ends as soon as the machine is as cool as before, and quiet",
    )


class GateSpec(Spec):
    """What an artifact must reach to pass; a limit of null is no limit."""

    max_metric_drop: float | None = Field(
        default=1.0, ge=0, description="points that the artifact may lose to the teacher"
    )
    min_metric: Fraction | None = Field(default=None, description="least metric, as a fraction: 0.9 for 90 %")
    min_agreement: Fraction | None = Field(default=None, description="least share of answers equal to the student's")
    max_size_mb: Positive | None = Field(default=None, description="largest model file, in 10^6 bytes")
    max_p50_ms: Limit | None = Field(default=None, description="median latency, for all devices or by device")
    max_p90_ms: Limit | None = Field(default=None, description="latency that 90 % of the answers keep, likewise")
    max_p95_ms: Limit | None = Field(default=None, description="latency that 95 % of the answers keep, likewise")
    max_p99_ms: Limit | None = Field(default=None, description="latency that 99 % of the answers keep, likewise")
    max_rss_mb: Positive | None = Field(default=None, description="peak resident memory of the process, in 10^6 bytes")
    max_cold_start_ms: Positive | None = Field(default=None, description="process start to first answer")

    def limits(self, device: str) -> dict[str, float]:
        """The limits that hold on `device`, by gate name; limits for other devices are left out."""
        found: dict[str, float] = {}
        for name in type(self).model_fields:
            limit = getattr(self, name)
            if isinstance(limit, dict):
                limit = limit.get(device)
            if limit is not None:
                found[name] = limit
        return found
