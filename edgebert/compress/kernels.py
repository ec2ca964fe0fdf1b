"""Kernels of torch that trainings go around, since they are slow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

#: Longest texts for which attention step by step is the quicker one, in tokens.
SHORT = 192


class QuickAttention(TorchFunctionMode):
    """Inside, attention that is trained in BF16 on the CPU is computed step by step, not by torch's fused kernel.

    The fused kernel's gradient makes it take 19 ms where the steps take 2 (32 texts × 12 heads × 13 tokens, one core of
    an AMD Zen 5), and 2 to 8 times as long up to 192 tokens; at 256 it is the quicker one. In FP32 they are alike.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func is scaled_dot_product_attention and torch.is_grad_enabled() and _slow(*args, **given):
            return _steps(*args, **given)
        return func(*args, **given)


def _slow(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, **other: Any,
) -> bool:  # fmt: skip
    plain = not is_causal and not other.get("enable_gqa")
    return plain and query.device.type == "cpu" and query.dtype == torch.bfloat16 and key.shape[-2] <= SHORT


def _steps(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, **other: Any,
) -> Tensor:  # fmt: skip
    """[B, heads, T, size] each, and a mask that is added, or true where attention may look; the softmax is in FP32."""
    scores = torch.matmul(query, key.transpose(-1, -2)) * (scale or query.shape[-1] ** -0.5)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, torch.finfo(scores.dtype).min)
    elif attn_mask is not None:
        scores = scores + attn_mask
    shares = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return torch.matmul(torch.dropout(shares, dropout_p, train=True) if dropout_p else shares, value)
