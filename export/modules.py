"""The parts of the encoder that is exported: attention, layers, embeddings, and a head for each task."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from edgebert.compress.heads import pool
from edgebert.tasks.embeddings import Embeddings

#: Added to the scores of padding: exp(-1e4) is 0 in float32, and yet the number is harmless to a quantizer.
MASKED = -1.0e4


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
        self.beside: nn.Module | None = None  # neurons that are computed apart (`neurons.py`)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """float32 [batch, length, width] -> the same, or its first token alone."""
        residual = hidden[:, :1] if self.attention.first else hidden
        hidden = self.attention_norm(self.output(self.attention(hidden, bias)) + residual)
        answered = self.down(self.activation(self.up(hidden)))
        if self.beside is not None:
            answered = answered + self.beside(hidden)
        normed: Tensor = self.norm(answered + hidden)
        return normed


class Encoder(nn.Module):
    """Embeddings and layers."""

    order: Tensor

    def __init__(
        self,
        words: nn.Embedding,
        positions: Tensor,
        segments: nn.Embedding | None,
        norm: nn.LayerNorm,
        layers: list[Layer],
    ) -> None:
        super().__init__()
        self.words: nn.Module = words
        self.segments, self.norm, self.layers = segments, norm, nn.ModuleList(layers)
        self.positions = nn.Embedding(*positions.shape)
        self.positions.weight = nn.Parameter(positions.clone())
        self.register_buffer("order", torch.arange(len(positions), dtype=torch.int32), persistent=False)
        self.look_up_positions = False

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """[batch, length] ids, mask and types -> float32 [batch, length, width], or the first token alone."""
        bias = ((1.0 - attention_mask.to(torch.float32)) * MASKED)[:, None, None, :]
        length = input_ids.shape[1]
        if self.look_up_positions:
            # Padding reads position 0, which the mask makes harmless; but the index now depends on the input.
            positions = self.positions(self.order[:length] * attention_mask)
        else:
            positions = self.positions.weight[:length]
        embedded = self.words(input_ids) + positions
        if self.segments is not None:
            # Two rows at most: a blend of them is quicker than a lookup, and no quantizer touches it.
            share = token_type_ids.to(torch.float32).unsqueeze(-1)  # type: ignore[union-attr]
            embedded = embedded + self.segments.weight[0] + share * (self.segments.weight[1] - self.segments.weight[0])
        hidden: Tensor = self.norm(embedded)
        for layer in self.layers:
            hidden = layer(hidden, bias)
        return hidden


class Headed(nn.Module):
    """An encoder and a task's head."""

    def __init__(self, encoder: Encoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor | tuple[Tensor, ...]:
        """[batch, length] inputs -> the task's outputs, float32."""
        outputs: Tensor | tuple[Tensor, ...] = self.head(
            self.encoder(input_ids, attention_mask, token_type_ids), attention_mask
        )
        return outputs


class FirstToken(nn.Module):
    """Pooling and classifier of the first token: logits [batch, labels]."""

    def __init__(self, pooler: nn.Linear, pooled: nn.Module, classifier: nn.Linear) -> None:
        super().__init__()
        self.pooler, self.pooled, self.classifier = pooler, pooled, classifier

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """float32 [batch, tokens, width] -> [batch, labels]."""
        logits: Tensor = self.classifier(self.pooled(self.pooler(hidden[:, :1])))
        return logits[:, 0]


class EveryToken(nn.Module):
    """A classifier of each token: logits [batch, tokens, labels]; with `split` one output for each label."""

    def __init__(self, classifier: nn.Linear, split: bool) -> None:
        super().__init__()
        self.classifier, self.split = classifier, split

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor | tuple[Tensor, ...]:
        """float32 [batch, tokens, width] -> [batch, tokens, labels], or [batch, tokens] for each label."""
        logits: Tensor = self.classifier(hidden)
        return tuple(logits[..., index] for index in range(logits.shape[-1])) if self.split else logits


class Pooled(nn.Module):
    """Pooling of sentence embeddings: [batch, width]."""

    def __init__(self, task: Embeddings) -> None:
        super().__init__()
        self.task = task

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """float32 [batch, tokens, width] -> [batch, width]."""
        return pool(hidden, mask, self.task)


def _linear(weights: list[Tensor], biases: list[Tensor]) -> nn.Linear:
    """One linear layer out of several with the same input."""
    weight = torch.cat(weights)
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight = nn.Parameter(weight.detach().clone())
    layer.bias = nn.Parameter(torch.cat(biases).detach().clone())
    return layer
