"""Attention that trainings compute step by step: the same as torch's own, with the same gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.profiler import ProfilerActivity, profile

from edgebert.compress.kernels import SHORT, QuickAttention

BF16 = torch.bfloat16


def given(length: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(length)
    query, key, value = (torch.randn(3, 4, length, 32, generator=draw).to(dtype).requires_grad_() for _ in range(3))
    return query, key, value


def masks(length: int, dtype: torch.dtype) -> dict[str, torch.Tensor | None]:
    """Nothing; the last third of the second text hidden, as booleans and as what is added."""
    seen = torch.ones(3, 1, length, length, dtype=torch.bool)
    seen[1, ..., -max(1, length // 3) :] = False
    hidden = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)
    return {"none": None, "bool": seen, "added": hidden}


def kernels(length: int, dtype: torch.dtype) -> set[str]:
    """What torch ran for attention inside, the gradient included."""
    with profile(activities=[ProfilerActivity.CPU]) as seen, QuickAttention():
        query, key, value = given(length, dtype)
        scaled_dot_product_attention(query, key, value).float().sum().backward()  # type: ignore[no-untyped-call]
    return {event.key for event in seen.key_averages() if "attention" in event.key}


@pytest.mark.parametrize("mask", ["none", "bool", "added"])
@pytest.mark.parametrize("length", [2, 13, 64])
def test_values_and_gradients_are_those_of_attention_in_fp32(length: int, mask: str) -> None:
    found, exact = given(length, BF16), given(length, torch.float32)
    with QuickAttention():
        out = scaled_dot_product_attention(found[0], found[1], found[2], attn_mask=masks(length, BF16)[mask])
    added = masks(length, torch.float32)[mask]
    true = scaled_dot_product_attention(exact[0], exact[1], exact[2], attn_mask=added)
    for result in (out, true):
        result.float().square().sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(out.float(), true, atol=0.02, rtol=0.02)
    for ours, theirs in zip(found, exact, strict=True):
        assert ours.grad is not None and theirs.grad is not None
        error = (ours.grad.float() - theirs.grad).norm() / theirs.grad.norm()
        assert error < 0.02


def test_torchs_fused_kernel_is_left_out_for_short_texts_in_bf16_alone() -> None:
    fused = "aten::_scaled_dot_product_flash_attention_for_cpu"
    assert fused not in kernels(16, BF16)
    assert fused in kernels(SHORT + 1, BF16)
    assert fused in kernels(16, torch.float32)


def test_dropout_is_kept() -> None:
    query = torch.randn(2, 2, 8, 8, dtype=BF16, requires_grad=True)
    with QuickAttention():
        torch.manual_seed(0)
        dropped = scaled_dot_product_attention(query, query, query, dropout_p=0.5)
        whole = scaled_dot_product_attention(query, query, query)
    assert not torch.allclose(dropped, whole)
