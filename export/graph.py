"""The graph that is exported: the same function as the source, with less to do.

Engines run the graph that they are given, and that of transformers does work that inference never needs.
For BERT and DistilBERT this module writes the forward pass anew, on the source's own weights:

- query, key and value are one product, the attention scale folded into the query's weights;
- a sequence classifier reads the first token alone, so the last layer computes that one only;
- position and segment embeddings are one table, cut at the longest length in use (a text is one segment);
- the attention mask is -1e4 and not -3.4e38, which would wreck every quantizer's idea of a range.

Other encoders are exported as transformers wrote them, with the milder mask. Either way the exported model
is compared with the untouched source (`parity.py`), so that a family that deviates is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .source import Source

#: Added to the scores of padding: exp(-1e4) is 0 in float32, and yet the number is harmless to a quantizer.
MASKED = -1.0e4


def exportable(source: Source, max_length: int) -> tuple[nn.Module, tuple[str, ...]]:
    """The module to export and the names of its inputs, in the order of its arguments.

    It takes int64 or int32 [batch, length] inputs and returns float32 logits [batch, labels].
    """
    build = {"bert": _from_bert, "distilbert": _from_distilbert}.get(source.config.model_type)
    # Relative positions and decoders are other functions than the one below.
    plain = getattr(source.config, "position_embedding_type", None) in (None, "absolute")
    if build is not None and plain and not getattr(source.config, "is_decoder", False):
        return build(source.model, max_length).eval().requires_grad_(False), ("input_ids", "attention_mask")
    return AsWritten(source).eval(), source.inputs


class Attention(nn.Module):
    """Multi-head self-attention with packed weights; with `first` for the first token's query alone."""

    def __init__(self, query: nn.Linear, key: nn.Linear, value: nn.Linear, heads: int, first: bool) -> None:
        super().__init__()
        width = query.out_features
        self.heads, self.size, self.first = heads, width // heads, first
        scale = self.size**-0.5
        if first:
            self.query = _linear([query.weight * scale], [query.bias * scale])
            self.packed = _linear([key.weight, value.weight], [key.bias, value.bias])
        else:
            self.packed = _linear(
                [query.weight * scale, key.weight, value.weight], [query.bias * scale, key.bias, value.bias]
            )

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """float32 [batch, length, width] -> [batch, length or 1, width]; `bias` [batch, 1, 1, length]."""
        width = self.heads * self.size
        packed = self.packed(hidden)
        if self.first:
            query = self.query(hidden[:, :1])
            key, value = packed[..., :width], packed[..., width:]
        else:
            query, key, value = packed[..., :width], packed[..., width : 2 * width], packed[..., 2 * width :]
        scores = torch.matmul(self._split(query), self._split(key).transpose(-1, -2))
        context = torch.matmul(torch.softmax(scores + bias, dim=-1), self._split(value))
        return context.transpose(1, 2).reshape(hidden.shape[0], -1, width)

    def _split(self, states: Tensor) -> Tensor:
        split: Tensor = states.view(states.shape[0], -1, self.heads, self.size).transpose(1, 2)
        return split


class Layer(nn.Module):
    """One post-norm Transformer encoder layer (Vaswani et al. 2017, Devlin et al. 2019)."""

    def __init__(
        self,
        attention: Attention,
        output: nn.Linear,
        attention_norm: nn.LayerNorm,
        up: nn.Linear,
        activation: Callable[[Tensor], Tensor],
        down: nn.Linear,
        norm: nn.LayerNorm,
    ) -> None:
        super().__init__()
        self.attention, self.output, self.attention_norm = attention, output, attention_norm
        self.up, self.activation, self.down, self.norm = up, activation, down, norm

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """float32 [batch, length, width] -> the same, or its first token alone."""
        residual = hidden[:, :1] if self.attention.first else hidden
        hidden = self.attention_norm(self.output(self.attention(hidden, bias)) + residual)
        normed: Tensor = self.norm(self.down(self.activation(self.up(hidden))) + hidden)
        return normed


class SequenceClassifier(nn.Module):
    """Embeddings, layers, pooling, classifier; the last layer computes the first token only."""

    order: Tensor

    def __init__(
        self,
        words: nn.Embedding,
        positions: Tensor,
        norm: nn.LayerNorm,
        layers: list[Layer],
        pooler: nn.Linear,
        pooled: nn.Module,
        classifier: nn.Linear,
    ) -> None:
        super().__init__()
        self.words, self.norm, self.layers = words, norm, nn.ModuleList(layers)
        self.positions = nn.Embedding(*positions.shape)
        self.positions.weight = nn.Parameter(positions.clone())
        self.register_buffer("order", torch.arange(len(positions), dtype=torch.int32), persistent=False)
        self.look_up_positions = False
        self.pooler, self.pooled, self.classifier = pooler, pooled, classifier

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """[batch, length] token ids and mask -> float32 logits [batch, labels]."""
        bias = ((1.0 - attention_mask.to(torch.float32)) * MASKED)[:, None, None, :]
        length = input_ids.shape[1]
        if self.look_up_positions:
            # Padding reads position 0, which the mask makes harmless; but the index now depends on the input.
            positions = self.positions(self.order[:length] * attention_mask)
        else:
            positions = self.positions.weight[:length]
        hidden = self.norm(self.words(input_ids) + positions)
        for layer in self.layers:
            hidden = layer(hidden, bias)
        logits: Tensor = self.classifier(self.pooled(self.pooler(hidden[:, :1])))
        return logits[:, 0]


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
    if isinstance(module, SequenceClassifier):
        for parent in [*module.modules()]:
            for name, child in [*parent.named_children()]:
                if isinstance(child, nn.Linear):
                    setattr(parent, name, Pointwise(child))
    return module


def with_position_lookup(module: nn.Module) -> nn.Module:
    """The encoder with positions looked up by index: otherwise a converter of fixed lengths stores one table each."""
    if isinstance(module, SequenceClassifier):
        module.look_up_positions = True
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

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.model, self.names = source.model, source.inputs
        body = getattr(self.model, self.model.base_model_prefix, self.model)
        if hasattr(body, "get_extended_attention_mask"):
            body.get_extended_attention_mask = _mild_mask

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        """The inputs in the order of `Source.inputs`, or by name -> float32 logits [batch, labels]."""
        given = dict(zip(self.names, args, strict=False)) | kwargs
        logits: Tensor = self.model(**given, return_dict=False)[0]
        return logits


def _mild_mask(attention_mask: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * MASKED


def _linear(weights: list[Tensor], biases: list[Tensor]) -> nn.Linear:
    """One linear layer out of several with the same input."""
    weight = torch.cat(weights)
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight = nn.Parameter(weight.detach().clone())
    layer.bias = nn.Parameter(torch.cat(biases).detach().clone())
    return layer


def _from_bert(model: Any, max_length: int) -> nn.Module:
    embeddings, encoder, pooler = model.bert.embeddings, model.bert.encoder, model.bert.pooler
    heads, last = model.config.num_attention_heads, len(encoder.layer) - 1
    layers = [
        Layer(
            Attention(
                layer.attention.self.query, layer.attention.self.key, layer.attention.self.value, heads, i == last
            ),
            layer.attention.output.dense,
            layer.attention.output.LayerNorm,
            layer.intermediate.dense,
            layer.intermediate.intermediate_act_fn,
            layer.output.dense,
            layer.output.LayerNorm,
        )
        for i, layer in enumerate(encoder.layer)
    ]
    positions = embeddings.position_embeddings.weight[:max_length] + embeddings.token_type_embeddings.weight[0]
    return SequenceClassifier(
        embeddings.word_embeddings,
        positions,
        embeddings.LayerNorm,
        layers,
        pooler.dense,
        pooler.activation,
        model.classifier,
    )


def _from_distilbert(model: Any, max_length: int) -> nn.Module:
    embeddings, transformer = model.distilbert.embeddings, model.distilbert.transformer
    heads, last = model.config.n_heads, len(transformer.layer) - 1
    layers = [
        Layer(
            Attention(layer.attention.q_lin, layer.attention.k_lin, layer.attention.v_lin, heads, i == last),
            layer.attention.out_lin,
            layer.sa_layer_norm,
            layer.ffn.lin1,
            layer.ffn.activation,
            layer.ffn.lin2,
            layer.output_layer_norm,
        )
        for i, layer in enumerate(transformer.layer)
    ]
    return SequenceClassifier(
        embeddings.word_embeddings,
        embeddings.position_embeddings.weight[:max_length],
        embeddings.LayerNorm,
        layers,
        model.pre_classifier,
        nn.ReLU(),
        model.classifier,
    )
