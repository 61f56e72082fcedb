"""Linear layers whose weights lie as a processor's kernels read them multiply as they did, and take no second copy."""

from __future__ import annotations

import weakref

import pytest
import torch

from tagger.engines.blocked import BlockedLinear, block, unblock


def model(dtype: torch.dtype) -> torch.nn.Sequential:
    torch.manual_seed(0)
    layers = torch.nn.Linear(96, 160), torch.nn.SiLU(), torch.nn.Sequential(torch.nn.Linear(160, 64, bias=False))
    return torch.nn.Sequential(*layers).to(dtype).eval()


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize("shape", [(96,), (1, 96), (3, 7, 96), (300, 96)])
@torch.inference_mode()
def test_they_multiply_as_plain_ones_do(dtype: torch.dtype, near: float, shape: tuple[int, ...]) -> None:
    plain, blocked, given = model(dtype), model(dtype), torch.randn(shape).to(dtype)
    block(blocked)

    assert [type(layer) for layer in (blocked[0], blocked[2][0])] == [BlockedLinear, BlockedLinear]
    torch.testing.assert_close(blocked(given), plain(given), atol=near, rtol=near)


def test_the_weights_are_held_once_and_let_go_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = torch.nn.Sequential(*model(torch.float32), *(torch.nn.Linear(64, 64) for _ in range(3)))
    first, alive = weakref.ref(blocked[0].weight), []
    made = BlockedLinear.__init__

    def init(self: BlockedLinear, plain: torch.nn.Linear) -> None:
        alive.append(first() is not None)
        made(self, plain)

    monkeypatch.setattr(BlockedLinear, "__init__", init)
    block(blocked)

    assert alive == [True, False, False, False, False]
    weight = blocked[0].weight
    assert (weight.shape, weight.dtype, weight.device.type) == ((160, 96), torch.float32, "cpu")
    assert weight.untyped_storage().nbytes() == 4
    assert torch.isnan(weight @ torch.ones(96)).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_number_formats_stay_as_they_are(dtype: torch.dtype) -> None:
    plain = model(dtype)
    block(plain)

    assert type(plain[0]) is torch.nn.Linear


@torch.inference_mode()
def test_a_model_can_be_had_back() -> None:
    plain, back = model(torch.float32), model(torch.float32)
    block(back)
    unblock(back)

    assert type(back[0]) is torch.nn.Linear
    assert torch.equal(back[0].weight, plain[0].weight)
    torch.testing.assert_close(back(torch.ones(2, 96)), plain(torch.ones(2, 96)))
