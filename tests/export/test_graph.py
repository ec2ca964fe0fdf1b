"""The graph that is exported computes what the source computes, for every family and head."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from edgebert.compress.heads import callable_model
from edgebert.export import graph
from edgebert.export.source import Source, load_source
from edgebert.tasks import Task
from edgebert.tasks.embeddings import Embeddings
from edgebert.tasks.question_answering import QuestionAnswering
from edgebert.tasks.text_classification import TextClassification
from edgebert.tasks.token_classification import TokenClassification
from edgebert.teacher import Teacher

FAMILIES = ("bert", "distilbert", "electra", "mobilebert")
TASKS: tuple[Task, ...] = (
    TextClassification(), TextClassification(pair=True), TokenClassification(), QuestionAnswering(),
    Embeddings(), Embeddings(pooling="cls", normalize=False),
)  # fmt: skip
CASES = [case for case in itertools.product(FAMILIES, TASKS) if case[0] != "mobilebert" or case[1] in TASKS[:1]]

Case = tuple[Source, Task]


@pytest.fixture(scope="module", params=CASES, ids=lambda c: f"{c[0]}-{c[1].name}-{getattr(c[1], 'pair', '')}")
def case(request: pytest.FixtureRequest, make_teacher: Callable[..., Teacher]) -> Case:
    family, task = request.param
    return load_source(make_teacher(family, layers=2, task=task, initializer_range=0.3).path, task), task


def inputs(source: Source, task: Task) -> dict[str, Any]:
    """Two texts, one of them padded, in two segments where the task has two."""
    import torch

    ids = torch.tensor([[2, 9, 8, 7, 6, 5, 3], [2, 12, 11, 3, 0, 0, 0]])
    types = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0, 0]]) * int(task.segments)
    given = {"input_ids": ids, "attention_mask": (ids > 0).long(), "token_type_ids": types}
    return {name: given[name] for name in source.inputs}


def test_it_answers_as_the_source_padding_included(case: Case) -> None:
    import torch

    source, task = case
    given = inputs(source, task)
    expected = callable_model(source.model, task)(**given)
    module, names = graph.exportable(source, task, 16)
    forms = [graph.Named(module, task.outputs)]
    if isinstance(module, graph.Headed):
        forms += [
            graph.Named(graph.with_position_lookup(module), task.outputs),
            graph.Named(graph.with_convolutions(module), task.outputs),
        ]
        segments = task.segments and "token_type_ids" in source.inputs
        assert names == ("input_ids", "attention_mask", *(("token_type_ids",) if segments else ()))
        assert len(module.encoder.positions.weight) == 16
    real = given["attention_mask"].bool()
    for form, name in itertools.product(forms, task.outputs):
        found, wanted = form(*[given[n] for n in names])[name], expected[name]
        if task.per_token:  # what stands at padding is nobody's answer
            found, wanted = found[real], wanted[real]
        assert float(wanted.std()) > 0.001
        assert torch.allclose(found, wanted, atol=1e-4 * float(wanted.std()) + 1e-6), type(form)


def test_only_families_that_are_known_are_rewritten(case: Case) -> None:
    source, task = case
    module, _ = graph.exportable(source, task, 16)
    assert isinstance(module, graph.Headed) == (source.config.model_type in ("bert", "distilbert"))


def test_the_last_layer_computes_the_first_token_alone_where_the_head_reads_no_more(case: Case) -> None:
    source, task = case
    module, names = graph.exportable(source, task, 16)
    if not isinstance(module, graph.Headed):
        pytest.skip("exported as transformers wrote it")
    shapes: list[tuple[int, ...]] = []
    for layer in module.encoder.layers:
        layer.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape)))
    module(*[inputs(source, task)[name] for name in names])
    first = task.name == "text-classification" or (isinstance(task, Embeddings) and task.pooling == "cls")
    assert shapes == [(2, 7, 32), (2, 1 if first else 7, 32)]


def test_no_number_on_the_way_is_so_small_that_it_would_wreck_a_range(case: Case) -> None:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    least: list[float] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            tensors = [leaf for leaf in tree_leaves(found) if isinstance(leaf, torch.Tensor)]
            least.extend(float(t.min()) for t in tensors if t.is_floating_point() and t.numel())
            return found

    source, task = case
    module, names = graph.exportable(source, task, 16)
    given = inputs(source, task)
    with torch.no_grad(), Watch():
        module(*[given[name] for name in names])
    # transformers masks padding with -3.4e38, the least number that there is.
    assert -1e5 < min(least) < -9e3
