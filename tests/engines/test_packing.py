"""Attention for one new token a row gives what transformers' own gives."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="the extra [cpu] is not installed")


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("heads", [(6, 2), (4, 4)])
def test_grouped_attention_is_that_of_transformers(heads: tuple[int, int], tokens: int) -> None:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    from tagger.engines.packing import grouped_attention

    torch.manual_seed(0)
    query = torch.randn(2, heads[0], tokens, 8)
    key, value = torch.randn(2, heads[1], 5, 8), torch.randn(2, heads[1], 5, 8)
    mask = torch.zeros(2, 1, tokens, 5)
    mask[1, ..., 3:] = torch.finfo(torch.float32).min
    module = SimpleNamespace(num_key_value_groups=heads[0] // heads[1], is_causal=True)

    ours, _ = grouped_attention(module, query, key, value, mask, scaling=0.3)
    theirs, _ = sdpa_attention_forward(module, query, key, value, mask, scaling=0.3)

    assert ours.shape == theirs.shape
    assert torch.allclose(ours, theirs, atol=1e-5)
