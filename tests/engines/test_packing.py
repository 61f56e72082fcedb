"""Attention for one new token a row, and for bodies behind a head, gives what transformers' own gives."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="the extra [cpu] is not installed")


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("heads", [(6, 2), (4, 4)])
def test_grouped_attention_is_that_of_transformers(heads: tuple[int, int], tokens: int) -> None:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    from tagger.engines.attention import grouped_attention

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


@pytest.mark.parametrize("heads", [(6, 2), (4, 4)])
@pytest.mark.parametrize("lengths", [[3], [2, 5, 1], [4, 4]])
def test_bodies_see_the_head_and_themselves(
    heads: tuple[int, int], lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    from tagger.engines import attention
    from tagger.engines.attention import Bodies, grouped_attention, reading

    torch.manual_seed(0)
    head, tokens = 6, sum(lengths)
    query = torch.randn(1, heads[0], tokens, 8)
    key, value = torch.randn(1, heads[1], head + tokens, 8), torch.randn(1, heads[1], head + tokens, 8)
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    own = (owner[:, None] == owner[None]) & torch.ones(tokens, tokens, dtype=torch.bool).tril()
    seen = torch.cat([torch.ones(tokens, head, dtype=torch.bool), own], dim=1)
    mask = torch.zeros(seen.shape).masked_fill_(~seen, torch.finfo(torch.float32).min)[None, None]
    module = SimpleNamespace(num_key_value_groups=heads[0] // heads[1], is_causal=True)

    bodies = Bodies.of(lengths, head, torch.float32, torch.device("cpu"))
    monkeypatch.setattr(attention, "COPIES", 100)
    assert bodies.fit(query, key, value)
    with reading(bodies):
        ours, _ = grouped_attention(module, query, key, value, mask, scaling=0.3)
    theirs, _ = sdpa_attention_forward(module, query, key, value, mask, scaling=0.3)

    assert ours.shape == theirs.shape
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_many_short_bodies_behind_a_long_head_are_not_copied() -> None:
    from tagger.engines.attention import Bodies

    def fits(head: int, lengths: list[int], *, kept: int | None = None, width: int = 8) -> bool:
        columns = head + sum(lengths)
        query, key = torch.empty(1, 14, sum(lengths), 8), torch.empty(1, 2, kept or columns, 8)
        bodies = Bodies.of(lengths, head, torch.float32, torch.device("cpu"))
        return bodies.fit(query, key, torch.empty(1, 2, kept or columns, width))

    assert fits(460, [40] * 25)
    assert not fits(4000, [5] * 204)
    assert not fits(460, [40] * 25, kept=1024)  # a window that has let go of the beginning
    assert not fits(460, [40] * 25, width=4)


@pytest.mark.parametrize("lengths", [[3], [2, 5, 1], [4, 4]])
def test_fresh_bodies_see_what_their_rows_say(lengths: list[int]) -> None:
    from tagger.engines.packing import Row, _apart, _of_rows

    owners = []
    for n, length in enumerate(lengths):
        row = Row(list(range(sum(lengths[:n]), sum(lengths[: n + 1]))), 0)
        owners += [(there, row) for there in range(1, length + 1)]

    assert torch.equal(_apart(lengths), _of_rows(owners, sum(lengths)))


def test_a_batch_is_no_wider_than_it_may_be_and_short_bodies_stand_together() -> None:
    from tagger.engines.packing import BATCH_TOKENS, _batches

    bodies = [[0] * n for n in (30, 700, 10, 2000, 10, 30, 700)]
    batches = _batches(range(7), bodies)

    assert sorted(i for batch in batches for i in batch) == list(range(7))
    assert [sorted(len(bodies[i]) for i in batch) for batch in batches] == [[10, 10, 30, 30], [700], [700], [2000]]
    assert all(len(b) == 1 or len(b) * max(len(bodies[i]) for i in b) <= BATCH_TOKENS for b in batches)
