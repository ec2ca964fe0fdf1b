"""Fewer and smaller attention heads: what matters is kept, and a head that was never full loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgebert.compress.attention import Seen, importance, most_important, squeeze
from edgebert.compress.channels import Moments
from edgebert.compress.families import FAMILIES
from edgebert.compress.folder import SINGLE_LABEL, load_model
from edgebert.compress.observe import batches
from edgebert.teacher import Teacher
from edgebert.tokenization import load_tokenizer

FAMILY = FAMILIES["bert"]
RANDOM = np.random.default_rng(0)


def moments(rows: NDArray[np.float64]) -> Moments:
    return Moments(rows.mean(axis=0), np.cov(rows.T, bias=True))


def inside(dimensions: int, rank: int) -> NDArray[np.float64]:
    """Vectors of so many dimensions that vary in only `rank` of them, around a mean."""
    rows: NDArray[np.float64] = RANDOM.normal(size=(300, rank)) @ RANDOM.normal(size=(rank, dimensions))
    return rows


def test_heads_of_a_lower_rank_keep_scores_and_outputs() -> None:
    """Two heads of 6 whose vectors fill 3 dimensions: in 3, distributions and outputs are what they were."""
    query, key, context = (np.concatenate([inside(6, 3), inside(6, 3)], axis=1) for _ in range(3))
    key = key + RANDOM.normal(size=12)  # the same for all keys: no distribution sees it
    outgoing = RANDOM.normal(size=(5, 12))
    made = squeeze(Seen(moments(query), moments(key), moments(context)), outgoing, [0, 1], 6, 3)
    for head in range(2):
        old, new = slice(6 * head, 6 * head + 6), slice(3 * head, 3 * head + 3)
        before = query[:, old] @ key[:, old].T / np.sqrt(6)
        after = (query @ made.query[new].T) @ (key @ made.key[new].T).T / np.sqrt(3)
        difference = after - before
        assert np.allclose(difference - difference.mean(axis=1, keepdims=True), 0.0, atol=1e-3)
        assert np.abs(before - before.mean(axis=1, keepdims=True)).max() > 1.0
    centred = context - context.mean(axis=0)
    assert np.allclose(centred @ made.value.T @ made.back.T @ outgoing.T, centred @ outgoing.T, atol=1e-3)


def test_heads_of_the_same_size_are_taken_as_they_are() -> None:
    rows = RANDOM.normal(size=(50, 12))
    made = squeeze(Seen(moments(rows), moments(rows), moments(rows)), RANDOM.normal(size=(5, 12)), [2], 4, 4)
    assert np.array_equal(made.query, np.eye(12)[8:])
    for matrix in (made.key, made.value, made.back.T):
        assert np.array_equal(matrix, made.query)


def test_importance_is_the_first_order_change(
    make_teacher: Callable[..., Teacher], records: list[dict[str, str]]
) -> None:
    """Against finite differences: every head is turned down a little, and the same random sum of logits compared."""
    teacher = make_teacher(layers=2)
    model = load_model(teacher.path).double()
    rows = [item.ids for item in load_tokenizer(teacher.path).encode_batch([r["text"] for r in records[:20]])]
    found = importance(model, SINGLE_LABEL, FAMILY, (0, 1), rows, 0)
    ((ids, mask),) = list(batches(rows, 0))
    weights = torch.randn((20, 3), generator=torch.Generator().manual_seed(0))

    def score(layer: int, head: int, volume: float) -> torch.Tensor:
        def hook(module: Any, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            scaled = given[0].clone()
            scaled[..., 8 * head : 8 * head + 8] *= volume
            return (scaled,)

        out = model.get_submodule(f"{FAMILY.layer_prefix}{layer}.{FAMILY.attention_out}")
        handle = out.register_forward_pre_hook(hook)
        with torch.inference_mode():
            logits: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits
        handle.remove()
        return (logits * weights).sum(dim=1)

    for layer in (0, 1):
        for head in range(4):
            slope = (score(layer, head, 1.0001) - score(layer, head, 0.9999)) / 0.0002
            assert found[layer][head] == pytest.approx(float(slope.square().sum()), rel=1e-3)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_the_most_important_heads() -> None:
    scores = {0: np.array([0.1, 3.0, 0.2, 2.0]), 5: np.array([1.0, 1.0, 1.0, 0.0])}
    kept = most_important(scores, 2)
    assert {layer: heads.tolist() for layer, heads in kept.items()} == {0: [1, 3], 5: [0, 1]}
