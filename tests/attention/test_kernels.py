"""Each kernel returns plain attention and its log-sum-exp; the gate turns them into the definition."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from farsight import UnsupportedModelError
from farsight.attention.kernels import sdpa
from farsight.attention.kernels.eager import eager_attention
from farsight.attention.kernels.flash import flash
from farsight.attention.kernels.flex import flex
from farsight.attention.kernels.sdpa import sdpa_attention
from farsight.attention.layer_call import LayerCall
from farsight.attention.tap import apply_gate
from farsight.registers import log_register_mass, register_gate

SCALE = 0.3


def call(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any) -> LayerCall:
    return LayerCall(
        index=0,
        implementation="flash_attention_2",
        module=nn.Module(),
        query=query,
        key=key,
        value=value,
        mask=mask,
        options={"scaling": SCALE, **options},
    )


def tensors(heads: int, kv_heads: int, queries: int, keys: int, dtype: torch.dtype, dim: int = 16) -> list[Tensor]:
    generator = torch.Generator().manual_seed(heads * 100 + queries)
    return [
        torch.randn(2, h, length, dim, generator=generator, dtype=torch.float64).to(dtype)
        for h, length in ((heads, queries), (kv_heads, keys), (kv_heads, keys))
    ]


def expected(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Attention and log-sum-exp in float64, written out."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.double().repeat_interleave(groups, 1), value.double().repeat_interleave(groups, 1)
    scores = (query.double() @ key.mT * SCALE).masked_fill(~allowed, -torch.inf)
    return torch.softmax(scores, -1).nan_to_num(0.0) @ value, torch.logsumexp(scores, -1)


def masks(queries: int, keys: int) -> dict[str, Tensor | None]:
    causal = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries).expand(2, 1, queries, keys)
    padded = causal.clone()
    padded[0, :, :, :2] = False
    return {"none": None, "causal": causal, "padded": padded}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (6, 1)])
@pytest.mark.parametrize(
    ("queries", "keys", "mask"),
    # without a mask, several rows are the first rows of their sequence, so there is no (3, 9, "none")
    [
        (q, k, mask)
        for q, k in ((1, 9), (7, 7), (3, 9))
        for mask in ("none", "causal", "padded")
        if (q, mask) != (3, "none")
    ],
)
def test_kernels_agree_with_attention_written_out(
    dtype: torch.dtype, heads: int, kv_heads: int, queries: int, keys: int, mask: str
) -> None:
    query, key, value = tensors(heads, kv_heads, queries, keys, dtype)
    allowed = masks(queries, keys)[mask]
    written = masks(queries, keys)["causal"] if allowed is None else allowed
    output, lse = expected(query, key, value, written)
    additive = torch.zeros(written.shape, dtype=dtype).masked_fill(~written, torch.finfo(dtype).min)
    found = {
        "eager": eager_attention(call(query, key, value, additive)),
        "sdpa": sdpa_attention(call(query, key, value, allowed)),
        "flex": flex(call(query, key, value, additive)),
    }
    real = written.any(-1).expand(lse.shape)
    tolerance = 2e-2 if dtype == torch.bfloat16 else 1e-5
    for name, attended in found.items():
        assert attended.output.dtype == dtype, name
        assert attended.lse.dtype in (torch.float32, torch.float64), name
        assert float((attended.output.double() - output)[real].abs().max()) < tolerance, name
        assert float((attended.lse.double() - lse)[real].abs().max()) < tolerance, name


def test_sdpa_gives_the_bits_of_pytorchs_own_function() -> None:
    query, key, value = tensors(4, 4, 7, 7, torch.float32)
    plain = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=SCALE)
    assert torch.equal(sdpa_attention(call(query, key, value, None)).output, plain)


def test_value_heads_of_another_size_are_written_out() -> None:
    query, key, value = tensors(4, 4, 5, 5, torch.float32)
    found = sdpa_attention(call(query, key, value[..., :8], None))
    output, lse = expected(query, key, value[..., :8], torch.ones(5, 5, dtype=torch.bool).tril())
    torch.testing.assert_close(found.output.double(), output, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.lse.double(), lse, atol=1e-5, rtol=0)


def test_an_operator_that_answers_differently_is_replaced_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = tensors(4, 2, 5, 5, torch.float32)
    right = sdpa._cpu_flash

    def wrong(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        output, lse = right(*args, **kwargs)
        return output, lse + 1

    monkeypatch.setattr(sdpa, "_cpu_flash", wrong)
    monkeypatch.setattr(sdpa, "_verdicts", {})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = [sdpa_attention(call(query, key, value, None)) for _ in range(3)]
    output, lse = expected(query, key, value, torch.ones(5, 5, dtype=torch.bool).tril())
    for attended in found:
        torch.testing.assert_close(attended.lse.double(), lse, atol=1e-5, rtol=0)
        torch.testing.assert_close(attended.output.double(), output, atol=1e-5, rtol=0)
    assert len([w for w in caught if "differently" in str(w.message)]) == 1


@pytest.mark.parametrize("how", ["causal", "masked", "one row", "a static cache"])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_sdpa_adds_what_places_add_to_the_scores(how: str, kv_heads: int) -> None:
    """T5 adds a bias for each distance, which is a part of the score."""
    queries, keys = {"one row": (1, 5), "a static cache": (5, 8)}.get(how, (5, 5))
    query, key, value = tensors(4, kv_heads, queries, keys, torch.float32)
    places = torch.randn(1, 4, queries, keys, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 1, queries, keys, dtype=torch.bool).tril(keys - queries if how == "one row" else 0)
    if how == "masked":
        mask[1, :, 1:, 0] = False
    given = mask if how in ("masked", "one row") else None
    found = sdpa_attention(call(query, key, value, given, position_bias=places, is_causal=True))
    key, value = (x.double().repeat_interleave(4 // kv_heads, 1) for x in (key, value))
    scores = torch.einsum("bhid,bhjd->bhij", query.double(), key) * SCALE + places.double()
    scores = scores.masked_fill(~mask, -torch.inf)
    torch.testing.assert_close(found.output.double(), scores.softmax(-1) @ value, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.lse.double(), scores.logsumexp(-1), atol=1e-5, rtol=0)


def test_kernels_without_soft_cap_refuse_it() -> None:
    query, key, value = tensors(2, 2, 3, 3, torch.float32)
    with pytest.raises(UnsupportedModelError, match="eager"):
        sdpa_attention(call(query, key, value, None, softcap=5.0))


def test_gate_lets_later_rows_keep_more_and_never_reaches_zero_or_passes_one() -> None:
    """Positional awareness: for equal scores beta grows with the row, and the last row keeps everything."""
    rows = 40
    lse = torch.zeros(1, 1, rows)
    gate = register_gate(lse, log_register_mass(torch.arange(rows - 1, -1, -1.0), 0.1))[0, 0]
    assert bool((gate[1:] > gate[:-1]).all())
    assert gate[-1] == 1.0
    assert 0.0 < float(gate[0]) < 1.0


def test_a_row_without_keys_gives_zeros_and_no_nan() -> None:
    query, key, value = tensors(2, 2, 3, 3, torch.float32)
    allowed = torch.ones(3, 3, dtype=torch.bool).tril().expand(2, 1, 3, 3).clone()
    allowed[0, :, 0] = False
    for attended in (
        sdpa_attention(call(query, key, value, allowed)),
        flex(call(query, key, value, torch.zeros(allowed.shape).masked_fill(~allowed, -torch.inf))),
    ):
        for log_mass in (torch.tensor(-1e30), torch.tensor(0.5)):
            output = apply_gate(attended.output.clone(), register_gate(attended.lse, log_mass))
            assert bool(output.isfinite().all())


def flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    softmax_scale: float,
    causal: bool,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    return_attn_probs: bool = False,
) -> Any:
    """FlashAttention 2's interface, computed with plain PyTorch: (batch, length, heads, dim), lower-right causal."""
    queries, keys = q.shape[1], k.shape[1]
    rows, columns = torch.arange(queries)[:, None] + keys - queries, torch.arange(keys)
    allowed = columns <= rows if causal else torch.ones(queries, keys, dtype=torch.bool)
    if window_size[0] >= 0:
        allowed = allowed & (rows - columns <= window_size[0])
    groups = q.shape[2] // k.shape[2]
    q, k, v = (x.float().transpose(1, 2) for x in (q, k, v))
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = q @ k.mT * softmax_scale
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    scores = scores.masked_fill(~allowed, -torch.inf)
    output = (torch.softmax(scores, -1) @ v).transpose(1, 2).bfloat16()
    return (output, torch.logsumexp(scores, -1), None) if return_attn_probs else output


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    softmax_scale: float,
    causal: bool,
    return_attn_probs: bool = False,
) -> Any:
    parts = [
        flash_attn_func(q[None, a:b], k[None, c:d], v[None, c:d], softmax_scale, causal, return_attn_probs=True)
        for a, b, c, d in zip(cu_seqlens_q, cu_seqlens_q[1:], cu_seqlens_k, cu_seqlens_k[1:], strict=False)
    ]
    output = torch.cat([o[0] for o, _, _ in parts])
    return (output, torch.cat([lse[0] for _, lse, _ in parts], 1), None) if return_attn_probs else output


def without_lse(q: Tensor, k: Tensor, v: Tensor, softmax_scale: float, causal: bool) -> Tensor:
    return q


@pytest.fixture
def flash_installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """FlashAttention has no CPU build: its functions are stood in for here, so only what is around them is tested."""
    import transformers.modeling_flash_attention_utils as utils

    def install(fixed: Any, varlen: Any) -> None:
        functions = (fixed, varlen, None, utils._pad_input, utils._unpad_input)
        monkeypatch.setattr(utils, "lazy_import_flash_attention", lambda name: (functions, None))

    return install


@pytest.mark.parametrize(("queries", "keys"), [(1, 9), (9, 9)])
@pytest.mark.parametrize("padded", [False, True])
def test_flash_unpads_and_pads_its_log_sum_exp(flash_installed: Any, queries: int, keys: int, padded: bool) -> None:
    flash_installed(flash_attn_func, flash_attn_varlen_func)
    query, key, value = tensors(4, 2, queries, keys, torch.bfloat16)
    mask = torch.ones(2, keys, dtype=torch.bool)
    mask[0, :3] = not padded
    found = flash(call(query, key, value, mask if padded else None))
    allowed = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries) & mask[:, None, None]
    output, lse = expected(query, key, value, allowed)
    real = mask[:, None, -queries:].expand(lse.shape)
    assert float((found.output.double() - output)[real].abs().max()) < 2e-2
    assert float((found.lse.double() - lse)[real].abs().max()) < 1e-5


def test_flash_sliding_window(flash_installed: Any) -> None:
    flash_installed(flash_attn_func, flash_attn_varlen_func)
    query, key, value = tensors(2, 2, 9, 9, torch.bfloat16)
    found = flash(call(query, key, value, None, sliding_window=4))
    rows, columns = torch.arange(9)[:, None], torch.arange(9)
    _, lse = expected(query, key, value, (columns <= rows) & (rows - columns < 4))
    torch.testing.assert_close(found.lse.double(), lse, atol=1e-5, rtol=0)


def test_a_flash_kernel_that_keeps_its_log_sum_exp_is_refused_with_a_remedy(flash_installed: Any) -> None:
    flash_installed(without_lse, without_lse)
    query, key, value = tensors(2, 2, 3, 3, torch.bfloat16)
    with pytest.raises(UnsupportedModelError, match="attn_implementation='sdpa'"):
        flash(call(query, key, value, None))
