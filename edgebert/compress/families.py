"""Where each family of encoders keeps its layers, and what edgebert may do with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Family:
    """One `model_type` of transformers.

    `body` is the encoder's name in the weights (`bert` in `bert.encoder.layer.0...`), `layers` the path of its layers
    inside it; the `_key`s name settings of its configuration; `ffn_in` and `ffn_out` are the two products of a layer's
    feed-forward part, None where it is built otherwise; `projections` make queries, keys and values, `attention_out`
    brings what the heads found together; `norms` are a layer's normalizations, after attention and at its end, None
    where the width cannot be narrowed; `pooled` is the layer between the first token's state and a text's classifier.
    """

    model_type: str
    body: str
    layers: str = "encoder.layer"
    layers_key: str = "num_hidden_layers"
    positions_key: str = "max_position_embeddings"
    width_key: str = "intermediate_size"
    ffn_in: str = "intermediate.dense"
    ffn_out: str | None = "output.dense"
    projections: tuple[str, str, str] = ("attention.self.query", "attention.self.key", "attention.self.value")
    attention_out: str = "attention.output.dense"
    norms: tuple[str, str] | None = ("attention.output.LayerNorm", "output.LayerNorm")
    pooled: str = "bert.pooler.dense"

    @property
    def prefix(self) -> str:
        """What the names of the body's weights begin with: nothing where there is no head around it."""
        return f"{self.body}." if self.body else ""

    @property
    def layer_prefix(self) -> str:
        """What the names of the layers' weights begin with, layer number excluded."""
        return f"{self.prefix}{self.layers}."

    @property
    def word_embeddings(self) -> str:
        """The name of the word-piece embeddings, float [vocabulary, width]."""
        return f"{self.prefix}embeddings.word_embeddings.weight"

    @property
    def position_embeddings(self) -> str:
        """The name of the position embeddings, float [positions, width]."""
        return f"{self.prefix}embeddings.position_embeddings.weight"


FAMILIES = {
    family.model_type: family
    for family in (
        Family("bert", "bert"),
        Family(
            "distilbert",
            "distilbert",
            layers="transformer.layer",
            layers_key="n_layers",
            width_key="hidden_dim",
            ffn_in="ffn.lin1",
            ffn_out="ffn.lin2",
            projections=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
            attention_out="attention.out_lin",
            norms=("sa_layer_norm", "output_layer_norm"),
            pooled="pre_classifier",
        ),
        Family("electra", "electra", norms=None),
        Family("mobilebert", "mobilebert", ffn_out=None, norms=None),
    )
}


def spread(teacher_layers: int, student_layers: int, choice: str = "uniform") -> tuple[int, ...]:
    """So many of the teacher's layers, by a choice of `CHOICES`.

    Of 6 layers, 3 are (1, 3, 5) when `uniform` (evenly, the last always among them), (0, 2, 4) when `skip` (every
    other, from the first), (0, 1, 2) when `first`, (3, 4, 5) when `last`.
    """
    every = range(student_layers)
    return {
        "importance": tuple(every),  # as many; which ones is measured
        "uniform": tuple((index + 1) * teacher_layers // student_layers - 1 for index in every),
        "skip": tuple(index * teacher_layers // student_layers for index in every),
        "first": tuple(every),
        "last": tuple(index + teacher_layers - student_layers for index in every),
    }[choice]


def is_generic(labels: Sequence[str]) -> bool:
    """Whether these are the names that transformers makes up (`LABEL_0`, `LABEL_1` ...)."""
    return all(label == f"LABEL_{index}" for index, label in enumerate(labels))


def set_dropout(config: Any, value: float) -> dict[str, float]:
    """Set every dropout probability of a transformers configuration; returns what they were."""
    before = {
        key: float(number)
        for key, number in vars(config).items()
        if "dropout" in key and isinstance(number, int | float) and not isinstance(number, bool)
    }
    for key in before:
        setattr(config, key, value)
    return before
