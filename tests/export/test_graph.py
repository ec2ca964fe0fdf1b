"""The graph that is exported computes what the source computes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgebert.export import graph
from edgebert.export.source import Source, load_source
from edgebert.teacher import Teacher

FAMILIES = ("bert", "distilbert", "electra", "mobilebert")


@pytest.fixture(scope="module", params=FAMILIES)
def source(request: pytest.FixtureRequest, make_teacher: Callable[..., Teacher]) -> Source:
    return load_source(make_teacher(request.param, layers=2, initializer_range=0.3).path, "text-classification")


def inputs(source: Source) -> dict[str, object]:
    """Two texts, one of them padded."""
    import torch

    ids = torch.tensor([[2, 9, 8, 7, 6, 5, 3], [2, 12, 11, 3, 0, 0, 0]])
    given = {"input_ids": ids, "attention_mask": (ids > 0).long(), "token_type_ids": torch.zeros_like(ids)}
    return {name: given[name] for name in source.inputs}


def test_it_answers_as_the_source_padding_included(source: Source) -> None:
    import torch

    expected = source.model(**inputs(source)).logits
    module, names = graph.exportable(source, 16)
    given = [inputs(source)[name] for name in names]
    spread = float(expected.std())
    assert spread > 0.01
    forms = [module, graph.Named(module, ("logits",))]
    if isinstance(module, graph.SequenceClassifier):
        forms += [graph.with_position_lookup(module), graph.with_convolutions(module)]
        assert names == ("input_ids", "attention_mask") and len(module.positions.weight) == 16
    for form in forms:
        found = form(*given)
        found = found["logits"] if isinstance(found, dict) else found
        assert torch.allclose(found, expected, atol=1e-4 * spread + 1e-6), type(form)


def test_only_families_that_are_known_are_rewritten(source: Source) -> None:
    module, _ = graph.exportable(source, 16)
    assert isinstance(module, graph.SequenceClassifier) == (source.config.model_type in ("bert", "distilbert"))


def test_the_last_layer_computes_the_first_token_alone(source: Source) -> None:
    module, names = graph.exportable(source, 16)
    if not isinstance(module, graph.SequenceClassifier):
        pytest.skip("exported as transformers wrote it")
    shapes = []
    for layer in module.layers:
        layer.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape)))
    module(*[inputs(source)[name] for name in names])
    assert shapes == [(2, 7, 32), (2, 1, 32)]
