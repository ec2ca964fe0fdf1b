"""The graph that is exported: the same function as the source, with less to do.

Engines run the graph that they are given, and that of transformers does work that inference never needs.
For BERT and DistilBERT this module writes the forward pass anew, on the source's own weights:

- query, key and value are one product, the attention scale folded into the query's weights;
- where the head reads the first token alone, the last layer computes that one only;
- position and segment embeddings are one table, cut at the longest length in use, where a window is one segment;
- the attention mask is -1e4 and not -3.4e38, which would wreck every quantizer's idea of a range.

Other encoders are exported as transformers wrote them, with the milder mask. Either way the exported model
is compared with the untouched source (`parity.py`), so that a family that deviates is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgebert.compress.heads import callable_model
from edgebert.tasks import Task
from edgebert.tasks.embeddings import Embeddings

from .modules import MASKED, Attention, Encoder, EveryToken, FirstToken, Headed, Layer, Pooled
from .source import Source


def exportable(source: Source, task: Task, max_length: int) -> tuple[nn.Module, tuple[str, ...]]:
    """The module to export and the names of its inputs, in the order of its arguments.

    It takes int64 or int32 [batch, length] inputs and returns the task's outputs, float32, in their order.
    """
    family = _FAMILIES.get(source.config.model_type)
    # Relative positions and decoders are other functions than the one below.
    plain = getattr(source.config, "position_embedding_type", None) in (None, "absolute")
    if family is None or not plain or getattr(source.config, "is_decoder", False):
        return AsWritten(source, task).eval(), source.inputs
    segments = task.segments and "token_type_ids" in source.inputs
    first = not task.per_token and not (isinstance(task, Embeddings) and task.pooling == "mean")
    body = getattr(source.model, source.model.base_model_prefix, source.model)
    encoder = Encoder(*family.parts(body, first, max_length, segments))
    module = Headed(encoder, family.head(source.model, task)).eval().requires_grad_(False)
    names = ("input_ids", "attention_mask", *(("token_type_ids",) if segments else ()))
    return module, names


class Pointwise(nn.Module):
    """A linear layer as a 1 x 1 convolution over the tokens, an image of one row: the same numbers."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight[:, :, None, None].clone())
        self.bias = nn.Parameter(linear.bias.clone())

    def forward(self, hidden: Tensor) -> Tensor:
        """float32 [batch, length, inputs] -> [batch, length, outputs]."""
        image = hidden.unsqueeze(1).permute(0, 3, 1, 2)
        tokens: Tensor = nn.functional.conv2d(image, self.weight, self.bias).permute(0, 2, 3, 1).squeeze(1)
        return tokens


def with_convolutions(module: nn.Module) -> nn.Module:
    """The encoder with every linear layer as a 1 x 1 convolution; models of other families stay as they are."""
    if isinstance(module, Headed):
        for parent in [*module.modules()]:
            for name, child in [*parent.named_children()]:
                if isinstance(child, nn.Linear):
                    setattr(parent, name, Pointwise(child))
    return module


def with_position_lookup(module: nn.Module) -> nn.Module:
    """The encoder with positions looked up by index: otherwise a converter of fixed lengths stores one table each."""
    if isinstance(module, Headed):
        module.encoder.look_up_positions = True
    return module


class Named(nn.Module):
    """Another module whose outputs have names: some converters take those of the returned mapping."""

    def __init__(self, module: nn.Module, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.module, self.outputs = module, outputs

    def forward(self, *args: Tensor, **kwargs: Tensor) -> dict[str, Tensor]:
        """The module's inputs -> its outputs by name."""
        result = self.module(*args, **kwargs)
        return dict(zip(self.outputs, (result,) if isinstance(result, Tensor) else result, strict=True))


class AsWritten(nn.Module):
    """The source's own forward pass, with a mask that quantizers can bear."""

    def __init__(self, source: Source, task: Task) -> None:
        super().__init__()
        self.model, self.names, self.outputs = callable_model(source.model, task), source.inputs, task.outputs
        body = getattr(source.model, source.model.base_model_prefix, source.model)
        if hasattr(body, "get_extended_attention_mask"):
            body.get_extended_attention_mask = _mild_mask

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The inputs in the order of `Source.inputs`, or by name -> the task's outputs, float32."""
        given = dict(zip(self.names, args, strict=False)) | kwargs
        found = self.model(**given)
        outputs = tuple(found[name] for name in self.outputs)
        return outputs[0] if len(outputs) == 1 else outputs


def _mild_mask(attention_mask: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * MASKED


Parts = tuple[nn.Embedding, Tensor, nn.Embedding | None, nn.LayerNorm, list[Layer]]


def _bert_parts(body: Any, first: bool, max_length: int, segments: bool) -> Parts:
    embeddings, encoder = body.embeddings, body.encoder
    heads, last = body.config.num_attention_heads, len(encoder.layer) - 1
    layers = [
        Layer(
            Attention(
                layer.attention.self.query, layer.attention.self.key, layer.attention.self.value, heads,
                first and i == last,
            ),
            layer.attention.output.dense,
            layer.attention.output.LayerNorm,
            layer.intermediate.dense,
            layer.intermediate.intermediate_act_fn,
            layer.output.dense,
            layer.output.LayerNorm,
        )
        for i, layer in enumerate(encoder.layer)
    ]  # fmt: skip
    positions, types = embeddings.position_embeddings.weight[:max_length], embeddings.token_type_embeddings
    if not segments:
        positions = positions + types.weight[0]
    return embeddings.word_embeddings, positions, types if segments else None, embeddings.LayerNorm, layers


def _distilbert_parts(body: Any, first: bool, max_length: int, segments: bool) -> Parts:
    embeddings, transformer = body.embeddings, body.transformer
    heads, last = body.config.n_heads, len(transformer.layer) - 1
    layers = [
        Layer(
            Attention(layer.attention.q_lin, layer.attention.k_lin, layer.attention.v_lin, heads, first and i == last),
            layer.attention.out_lin,
            layer.sa_layer_norm,
            layer.ffn.lin1,
            layer.ffn.activation,
            layer.ffn.lin2,
            layer.output_layer_norm,
        )
        for i, layer in enumerate(transformer.layer)
    ]
    positions = embeddings.position_embeddings.weight[:max_length]
    return embeddings.word_embeddings, positions, None, embeddings.LayerNorm, layers


def _bert_head(model: Any, task: Task) -> nn.Module:
    if task.name == "text-classification":
        return FirstToken(model.bert.pooler.dense, model.bert.pooler.activation, model.classifier)
    return _common_head(model, task)


def _distilbert_head(model: Any, task: Task) -> nn.Module:
    if task.name == "text-classification":
        return FirstToken(model.pre_classifier, nn.ReLU(), model.classifier)
    return _common_head(model, task)


def _common_head(model: Any, task: Task) -> nn.Module:
    if isinstance(task, Embeddings):
        return Pooled(task)
    split = len(task.outputs) > 1
    return EveryToken(model.qa_outputs if split else model.classifier, split)


@dataclass(frozen=True)
class _Family:
    parts: Callable[[Any, bool, int, bool], Parts]
    head: Callable[[Any, Task], nn.Module]


_FAMILIES = {"bert": _Family(_bert_parts, _bert_head), "distilbert": _Family(_distilbert_parts, _distilbert_head)}
