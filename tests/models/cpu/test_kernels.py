"""The compiled kernels against float64, within what their theory promises; threads, forks and odd numbers.

Rounding to 16 bits moves a number by 0.29 (the standard deviation), at the scale that takes its row to length
46,340 or its largest number to 32,767. Products of such rows have the error that ``product_limit`` adds up.
"""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import TransformerEncoder, TransformerEncoderLayer
from torch.nn.functional import gelu, scaled_dot_product_attention

from qembed.models.cpu import kernels
from qembed.models.cpu.kernels import Encoder, Layer, Norm, PackedWeight, attention

pytestmark = pytest.mark.skipif(bool(kernels.unavailable(False)), reason=kernels.unavailable(False))

LENGTH, MOST = 46340, 32767
ROUNDED = 0.29
DEVIATIONS = 7  # one in 10^11 is beyond
ULP = 2.0**-23

INT16 = pytest.param(
    True,
    id="int16",
    marks=pytest.mark.skipif(bool(kernels.unavailable(True)), reason=kernels.unavailable(True)),
)
both_kinds = pytest.mark.parametrize("sixteen", [pytest.param(False, id="fp32"), INT16])
only_int16 = pytest.mark.parametrize("sixteen", [INT16])
some_shapes = settings(max_examples=80, deadline=None)
seeds = st.integers(0, 2**32 - 1)
NOT_FINITE = [math.nan, math.inf, -math.inf]


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def linear(
    states: torch.Tensor,
    weight: torch.Tensor,
    sixteen: bool,
    bias: torch.Tensor | None = None,
    with_gelu: bool = False,
) -> torch.Tensor:
    return PackedWeight(weight, bias, sixteen).linear(states, with_gelu)


def lengths(rows: torch.Tensor) -> torch.Tensor:
    return rows.double().norm(dim=-1)


def step(rows: torch.Tensor) -> torch.Tensor:
    """What one means in each row's 16-bit integers."""
    return torch.maximum(lengths(rows) / LENGTH, rows.double().abs().amax(-1) / MOST)


def product_limit(
    x: torch.Tensor, weight: torch.Tensor, sixteen: bool, rounded: float = DEVIATIONS * ROUNDED
) -> torch.Tensor:
    """How far x weight^T may be off."""
    limit = (x.shape[-1] ** 0.5 + 8) * ULP / 2 * lengths(x)[..., None] * lengths(weight)
    if sixteen:
        limit += rounded * torch.hypot(
            step(x)[..., None] * lengths(weight), lengths(x)[..., None] * step(weight)
        )
    return limit


def assert_within(found: torch.Tensor, expected: torch.Tensor, limit: torch.Tensor) -> None:
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    over = (found - expected).abs() - limit - ULP * expected.abs()
    assert (over <= 0).all(), f"beyond the limit by {over.max()}"


def alone(script: str) -> None:
    """Run it in a process of its own, which may crash or hang."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"


@pytest.fixture(autouse=True)
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@both_kinds
class TestLinear:
    @given(m=st.integers(1, 120), n=st.integers(1, 100), k=st.integers(1, 130), seed=seeds)
    @some_shapes
    def test_any_shape(self, sixteen: bool, m: int, n: int, k: int, seed: int) -> None:
        x, weight = normal(m, k, seed=seed), normal(n, k, seed=seed + 1)
        expected = x.double() @ weight.double().T
        assert_within(linear(x, weight, sixteen), expected, product_limit(x, weight, sixteen))

    @given(m=st.integers(1, 30), n=st.integers(1, 70), k=st.integers(1, 70), seed=seeds)
    @some_shapes
    def test_bias_and_gelu(self, sixteen: bool, m: int, n: int, k: int, seed: int) -> None:
        x, weight, bias = normal(m, k, seed=seed), normal(n, k, seed=seed + 1), normal(n, seed=seed + 2)
        expected = x.double() @ weight.double().T + bias.double()
        limit = product_limit(x, weight, sixteen) + ULP * expected.abs()
        assert_within(linear(x, weight, sixteen, bias), expected, limit)
        after = gelu(expected)
        limit = 1.13 * limit + 1.5e-6 + 4 * ULP * expected.abs()  # 1.13: the steepest slope of the GELU
        assert_within(linear(x, weight, sixteen, bias, with_gelu=True), after, limit)

    def test_typical_error(self, sixteen: bool) -> None:
        x, weight = normal(200, 384), normal(384, 384, seed=2)
        error = linear(x, weight, sixteen) - x.double() @ weight.double().T
        relative = error / (lengths(x)[:, None] * lengths(weight))
        promised = ROUNDED * 2**0.5 / LENGTH if sixteen else ULP / 2
        assert relative.square().mean().sqrt() < 1.02 * promised
        assert relative.mean().abs() < promised / 50

    @pytest.mark.parametrize("shape", [(70,), (1, 70), (2, 3, 70), (2, 1, 3, 70)])
    def test_leading_dimensions(self, sixteen: bool, shape: tuple[int, ...]) -> None:
        x, weight = normal(*shape), normal(40, 70, seed=2)
        expected = x.double() @ weight.double().T
        assert_within(linear(x, weight, sixteen), expected, product_limit(x, weight, sixteen))

    def test_states_and_weights_that_are_not_contiguous(self, sixteen: bool) -> None:
        x, weight = normal(70, 13).T, normal(70, 40, seed=2).T
        assert torch.equal(linear(x, weight, sixteen), linear(x.contiguous(), weight.contiguous(), sixteen))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
    def test_other_dtypes(self, sixteen: bool, dtype: torch.dtype) -> None:
        x, weight, bias = normal(9, 33).to(dtype), normal(20, 33, seed=2).to(dtype), normal(20).to(dtype)
        assert torch.equal(
            linear(x, weight, sixteen, bias), linear(x.float(), weight.float(), sixteen, bias.float())
        )

    def test_a_row_does_not_depend_on_its_neighbours(self, sixteen: bool) -> None:
        x, packed = normal(67, 70), PackedWeight(normal(40, 70, seed=2), None, sixteen)
        together = packed.linear(x)
        for row in range(len(x)):
            assert torch.equal(packed.linear(x[row]), together[row])

    def test_states_are_left_as_they_were(self, sixteen: bool) -> None:
        x = normal(50, 70)
        linear(x, normal(40, 70, seed=2), sixteen, with_gelu=True)
        assert torch.equal(x, normal(50, 70))


@both_kinds
@pytest.mark.parametrize("with_gelu", [False, True])
class TestNotFinite:
    @pytest.mark.parametrize("odd", NOT_FINITE)
    @pytest.mark.parametrize("column", [0, 37, 69])
    def test_a_state_spoils_its_row_only(
        self, sixteen: bool, with_gelu: bool, odd: float, column: int
    ) -> None:
        x, packed = normal(60, 70), PackedWeight(normal(40, 70, seed=2), normal(40), sixteen)
        clean = packed.linear(x, with_gelu)
        x[3, column] = odd
        found = packed.linear(x, with_gelu)
        assert not found[3].isfinite().any()
        clean[3] = found[3] = 0
        assert torch.equal(found, clean)

    @pytest.mark.parametrize("odd", NOT_FINITE)
    def test_a_weight_spoils_its_column_only(self, sixteen: bool, with_gelu: bool, odd: float) -> None:
        x, weight = normal(20, 70), normal(40, 70, seed=2)
        clean = linear(x, weight, sixteen, with_gelu=with_gelu)
        weight[33, 5] = odd
        found = linear(x, weight, sixteen, with_gelu=with_gelu)
        assert not found[:, 33].isfinite().any()
        clean[:, 33] = found[:, 33] = 0
        assert torch.equal(found, clean)


def rows_of(pattern: str, k: int) -> torch.Tensor:
    if pattern == "one huge number":
        rows = normal(4, k)
        rows[:, k // 2] = 1e6
        return rows
    return {
        "random": normal(4, k),
        "constant": torch.ones(4, k),
        "of one sign": normal(4, k).abs(),
        "two sizes": normal(4, k).sign() * torch.where(torch.arange(k) < 8, 1.0, 0.01),
    }[pattern]


@only_int16
class TestNoOverflow:
    """The largest sums that there are: rows that are parallel to columns."""

    def worst(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return product_limit(x, weight, True, rounded=0.51 * 2**0.5 * x.shape[-1] ** 0.5)

    @pytest.mark.parametrize("pattern", ["random", "constant", "of one sign", "one huge number", "two sizes"])
    @pytest.mark.parametrize("k", [1, 2, 31, 384, 1537, 4096])
    def test_parallel_rows(self, sixteen: bool, pattern: str, k: int) -> None:
        rows = rows_of(pattern, k)
        x, weight = torch.cat([rows, -3 * rows]), torch.cat([rows, -0.7 * rows])
        assert_within(linear(x, weight, sixteen), x.double() @ weight.double().T, self.worst(x, weight))

    def test_constant_rows_of_every_width(self, sixteen: bool) -> None:
        for k in range(1, 500):  # rounding makes them longer by up to sqrt(k) / 2
            x, weight = torch.ones(1, k), torch.tensor([[1.0], [-1.0]]).expand(2, k)
            assert_within(linear(x, weight, sixteen), x.double() @ weight.double().T, self.worst(x, weight))

    @pytest.mark.parametrize("exponent", [-20, -21, -22, -23, -24, -30, -38, -44])
    def test_tiny_rows_may_vanish_and_never_change_their_sign(self, sixteen: bool, exponent: int) -> None:
        weight = normal(30, 384)
        x = (weight.double() * 10.0**exponent).float()
        expected = x.double() @ weight.double().T
        assert_within(linear(x, weight, sixteen), expected, lengths(x)[:, None] * lengths(weight))


@both_kinds
class TestScales:
    def test_each_row_has_its_own(self, sixteen: bool) -> None:
        x, weight = normal(20, 64), normal(40, 64, seed=2)
        x *= torch.tensor([1.0, 1e-18, 1e18, 0.0]).repeat(5)[:, None]
        expected = x.double() @ weight.double().T
        assert_within(linear(x, weight, sixteen), expected, product_limit(x, weight, sixteen))

    def test_each_column_has_its_own(self, sixteen: bool) -> None:
        x, weight = normal(20, 64), normal(40, 64, seed=2)
        weight *= torch.tensor([1.0, 1e-18, 1e18, 0.0]).repeat(10)[:, None]
        expected = x.double() @ weight.double().T
        assert_within(linear(x, weight, sixteen), expected, product_limit(x, weight, sixteen))

    @pytest.mark.parametrize("size", [1e18, 1e19, 1e25, 1e36])
    def test_rows_whose_squares_overflow(self, sixteen: bool, size: float) -> None:
        x, weight = normal(20, 384) * size, normal(40, 384, seed=2)
        limit = 4 * product_limit(x, weight, sixteen)  # room for a scale that is not the best one
        assert_within(linear(x, weight, sixteen), x.double() @ weight.double().T, limit)


@given(n=st.integers(1, 100), k=st.integers(1, 70), seed=seeds)
@some_shapes
def test_a_float32_weight_comes_back_bit_for_bit(n: int, k: int, seed: int) -> None:
    bits = torch.randint(-(2**31), 2**31, (n, k), generator=torch.Generator().manual_seed(seed))
    weight = bits.int().view(torch.float32)  # NaN, infinity and denormal numbers too
    assert torch.equal(PackedWeight(weight, None, False).unpacked().view(torch.int32), bits.int())


@both_kinds
class TestThreads:
    def same_for_each_number(
        self, threads: Callable[[int], None], compute: Callable[[], torch.Tensor]
    ) -> None:
        threads(1)
        expected = compute()
        for number in (2, 3, 16, 1):
            threads(number)
            assert torch.equal(compute(), expected)

    @pytest.mark.parametrize("m", [1, 2, 36, 37, 100, 200])
    @pytest.mark.parametrize("n", [20, 300])
    def test_linear(self, sixteen: bool, m: int, n: int, threads: Callable[[int], None]) -> None:
        x, packed = normal(m, 70), PackedWeight(normal(n, 70, seed=2), normal(n), sixteen)
        self.same_for_each_number(threads, lambda: packed.linear(x, gelu=True))

    def test_attention(self, sixteen: bool, threads: Callable[[int], None]) -> None:
        query, key, value = normal(3, 5, 3, 40, 33)
        spans = [(0, 40), (0, 7), (12, 40), (3, 4), (0, 0)]
        self.same_for_each_number(threads, lambda: attention(query, key, value, spans, 0.2, sixteen))

    def test_encoder(self, sixteen: bool, threads: Callable[[int], None]) -> None:
        encoder, _ = encoders(sixteen)
        x, spans = normal(5, 40, 48), [(0, 40), (0, 7), (12, 40), (3, 4), (0, 0)]
        self.same_for_each_number(threads, lambda: encoder(x, spans))

    def test_many_callers_at_once(self, sixteen: bool, threads: Callable[[int], None]) -> None:
        threads(3)
        packed = PackedWeight(normal(200, 130), None, sixteen)
        inputs = [normal(rows, 130, seed=rows) for rows in (1, 60, 150, 300)]
        expected = [packed.linear(x) for x in inputs]
        together = Barrier(len(inputs))

        def call(x: torch.Tensor) -> list[torch.Tensor]:
            together.wait(timeout=30)
            return [packed.linear(x) for _ in range(30)]

        with ThreadPoolExecutor(len(inputs)) as pool:
            for results, right in zip(pool.map(call, inputs), expected, strict=True):
                assert all(torch.equal(result, right) for result in results)


@st.composite
def span_lists(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """Tokens, and the first and last + 1 real one of some texts."""
    tokens = draw(st.integers(1, 100))
    spans = []
    for side in draw(
        st.lists(st.sampled_from(["none", "left", "right", "both", "all"]), min_size=1, max_size=4)
    ):
        start = draw(st.integers(0, tokens - 1)) if side in ("left", "both") else 0
        end = draw(st.integers(start + 1, tokens)) if side in ("right", "both") else tokens
        spans.append((0, 0) if side == "all" else (start, end))
    return tokens, spans


def check_attention(
    states: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    spans: list[tuple[int, int]],
    sixteen: bool,
    scale: float | None = None,
) -> None:
    query, key, value = states
    texts, heads, tokens, width = query.shape
    scale = width**-0.5 if scale is None else scale
    found = attention(query, key, value, spans, scale, sixteen)
    assert found.shape == (texts, tokens, heads, width)
    for text, (start, end) in enumerate(spans):
        assert not found[text, :start].any()
        assert not found[text, end:].any()
        if start < end:
            part = [x[text, :, start:end] for x in states]
            expected = scaled_dot_product_attention(*(x.double() for x in part), scale=scale)
            limit = attention_limit(*part, scale, sixteen)
            assert_within(found[text, start:end].transpose(0, 1), expected, limit)


def attention_limit(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, sixteen: bool
) -> torch.Tensor:
    """Of (heads, tokens, width): the scores' error times the values' spread, plus the second product's."""
    query, key, value = query.double(), key.double(), value.double()
    scores = scale * lengths(query)[..., None] * lengths(key).amax(-1)[:, None, None]
    limit = 2 * ULP * (1 + scores) * value.abs().amax((-1, -2), keepdim=True)
    if sixteen:
        step = DEVIATIONS * ROUNDED * 2**0.5 / MOST
        weights = (scale * query @ key.transpose(1, 2)).softmax(-1)
        spread = (weights @ value.square() - (weights @ value).square()).clamp(min=0).sqrt()
        column = value.norm(dim=1).amax(-1)[:, None, None]
        limit = limit + step * (scores * spread + lengths(weights)[..., None] * column)
    return limit


def typical_error(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sixteen: bool) -> float:
    """Of attention, by what the rounding of weights and values promises."""
    texts, _, tokens, _ = query.shape
    error = attention(query, key, value, [(0, tokens)] * texts, 1.0, sixteen).transpose(1, 2)
    query, key, value = query.double(), key.double(), value.double()
    weights = (query @ key.transpose(2, 3)).softmax(-1)
    column = value.norm(dim=2).amax(-1)[..., None, None]
    relative = (error - weights @ value) / (lengths(weights)[..., None] * column)
    promised = ROUNDED * (LENGTH**-2 + MOST**-2) ** 0.5 if sixteen else ULP / 2
    return float(relative.square().mean().sqrt()) / promised


@both_kinds
class TestAttention:
    @given(
        shape=span_lists(),
        heads=st.integers(1, 3),
        width=st.integers(1, 130),
        layout=st.sampled_from(["plain", "transposed", "one matrix"]),
        seed=seeds,
    )
    @some_shapes
    def test_any_shape_and_padding(
        self,
        sixteen: bool,
        shape: tuple[int, list[tuple[int, int]]],
        heads: int,
        width: int,
        layout: str,
        seed: int,
    ) -> None:
        tokens, spans = shape
        if layout == "plain":
            query, key, value = normal(3, len(spans), heads, tokens, width, seed=seed)
        elif layout == "transposed":
            query, key, value = normal(3, len(spans), tokens, heads, width, seed=seed).transpose(2, 3)
        else:
            query, key, value = normal(len(spans), tokens, 3, heads, width, seed=seed).permute(2, 0, 3, 1, 4)
        check_attention((query, key, value), spans, sixteen)

    def test_strides_of_each_their_own(self, sixteen: bool) -> None:
        query = normal(2, 3, 17, 9)
        key = normal(2, 9, 3, 17, seed=2).permute(0, 2, 3, 1)  # not 1 along the width
        value = normal(2, 17, 1, 9, seed=3).transpose(1, 2).expand(2, 3, 17, 9)
        check_attention((query, key, value), [(0, 17), (2, 16)], sixteen)
        check_attention((value, query, key), [(0, 17), (2, 16)], sixteen)

    def test_long_texts(self, sixteen: bool) -> None:
        check_attention(tuple(normal(3, 1, 1, 700, 32)), [(0, 700)], sixteen)

    def test_typical_error_of_the_second_product(self, sixteen: bool) -> None:
        query, key, value = normal(3, 2, 3, 200, 32)
        assert typical_error(query * 0.01, key, value, sixteen) < 1.02

    @pytest.mark.parametrize("score", [-25.0, -20.5, -19.0, -18.0, -16.0, -10.0, 19.0, 25.0])
    def test_nearly_equal_scores_of_any_size(self, sixteen: bool, score: float) -> None:
        direction = torch.nn.functional.normalize(normal(32), dim=0)
        key, value = normal(2, 1, 1, 400, 32)
        query, key = (direction * score).expand(1, 1, 400, 32), direction + 0.01 * key
        assert typical_error(query, key, value, sixteen) < 2  # the scores have an error too

    def test_each_weight(self, sixteen: bool) -> None:
        scores = torch.linspace(-1, 0, 100)
        query, key = torch.zeros(2, 1, 1, 100, 100)
        query[..., 0], key[..., 0] = 1, scores
        found = attention(query, key, torch.eye(100)[None, None], [(0, 100)], 1.0, sixteen)[0, :, 0]
        expected = scores.double().softmax(-1)
        limit = 0.51 / LENGTH * lengths(expected) + 1e-4 * expected if sixteen else 2.5 * ULP * expected
        assert_within(found, expected.expand(100, 100), limit)

    def test_scaling(self, sixteen: bool) -> None:
        check_attention(tuple(normal(3, 2, 3, 40, 16)), [(0, 40), (5, 30)], sixteen, scale=0.9)

    def test_equal_scores_give_the_mean(self, sixteen: bool) -> None:
        _, key, value = states = normal(3, 2, 3, 50, 20)
        for query in (torch.zeros_like(key), torch.full_like(key, 100.0), torch.full_like(key, -100.0)):
            check_attention((query, torch.ones_like(key), value), [(0, 50), (3, 20)], sixteen)
        assert torch.equal(states[1], key)

    @pytest.mark.parametrize("most", [100.0, 300.0, 1e3, 1e4])
    def test_large_scores(self, sixteen: bool, most: float) -> None:
        query, key, value = normal(3, 2, 3, 60, 20)
        query, key = torch.nn.functional.normalize(query, dim=-1), key.sign()
        key[:, :, 7] = 20 * query.mean(2)
        if sixteen:  # scores with gaps: others are as uncertain as their size
            query, key = torch.zeros_like(query), -torch.eye(60, 20).expand(2, 3, 60, 20)
            query[..., 0], key = 1 + torch.rand(60), key.clone()
            key[:, :, 7, 0] = 1
        check_attention((query * most, key, value), [(0, 60), (7, 50)], sixteen, scale=1.0)

    @pytest.mark.parametrize("which", range(3))
    @pytest.mark.parametrize("odd", NOT_FINITE)
    def test_not_finite_reaches_its_head_only(self, sixteen: bool, which: int, odd: float) -> None:
        states = normal(3, 3, 2, 40, 20)
        spans = [(0, 40), (2, 38), (0, 30)]
        clean = attention(*states, spans, 0.2, sixteen)
        states[which, 1, 1, 17, 5] = odd
        found = attention(*states, spans, 0.2, sixteen)
        reached = found[1, :, 1]
        assert not reached.isfinite().all()
        clean[1, :, 1] = found[1, :, 1] = 0
        assert torch.equal(found, clean)

    def test_padding_is_not_read(self, sixteen: bool) -> None:
        states = normal(3, 2, 3, 40, 20)
        spans = [(0, 33), (5, 40)]
        clean = attention(*states, spans, 0.2, sixteen)
        states[:, 0, :, 33:] = math.nan
        states[:, 1, :, :5] = math.inf
        assert torch.equal(attention(*states, spans, 0.2, sixteen), clean)


def encoders(
    sixteen: bool, width: int = 48, heads: int = 3, wide: int = 100, layers: int = 2
) -> tuple[Encoder, TransformerEncoder]:
    """Ours, and torch's own of the same weights in float64."""
    torch.manual_seed(1)
    layer = TransformerEncoderLayer(width, heads, wide, 0.0, gelu, 1e-5, batch_first=True)
    theirs = TransformerEncoder(layer, layers, enable_nested_tensor=False).eval().requires_grad_(False)
    for parameter in theirs.parameters():
        parameter += 0.1 * torch.randn(parameter.shape)
    made = []
    for each in theirs.layers:
        weights = each.self_attn.in_proj_weight.chunk(3), each.self_attn.in_proj_bias.chunk(3)
        pairs = [*zip(*weights, strict=True)]
        pairs += [
            (linear.weight, linear.bias) for linear in (each.self_attn.out_proj, each.linear1, each.linear2)
        ]
        norms = [Norm(norm.weight, norm.bias) for norm in (each.norm1, each.norm2)]
        made.append(Layer(*(PackedWeight(*pair, sixteen) for pair in pairs), *norms))
    return Encoder(made, heads, (width // heads) ** -0.5, 1e-5), copy.deepcopy(theirs).double()


@both_kinds
class TestEncoder:
    @pytest.mark.parametrize(
        ("width", "heads", "wide", "layers"),
        [(48, 3, 100, 3), (33, 3, 7, 1), (64, 1, 64, 2), (40, 40, 33, 2)],
    )
    @pytest.mark.parametrize("tokens", [1, 13, 70])
    def test_the_layers_of_torch(
        self, sixteen: bool, width: int, heads: int, wide: int, layers: int, tokens: int
    ) -> None:
        ours, theirs = encoders(sixteen, width, heads, wide, layers)
        x = normal(3, tokens, width)
        spans = [(0, tokens), (0, (tokens + 1) // 2), (tokens // 2, tokens)]
        hidden = torch.ones(3, tokens, dtype=torch.bool)
        for row, (start, end) in zip(hidden, spans, strict=True):
            row[start:end] = False
        found, expected = ours(x, spans).double(), theirs(x.double(), src_key_padding_mask=hidden)
        off = (found - expected)[~hidden]
        assert off.abs().max() < (5e-3 if sixteen else 1e-5)
        assert off.square().mean().sqrt() < (5e-4 if sixteen else 2e-6)

    def test_its_input_stays_and_may_have_any_strides(self, sixteen: bool) -> None:
        ours, _ = encoders(sixteen)
        x = normal(2, 48, 9).transpose(1, 2)
        kept = x.clone()
        assert torch.equal(ours(x, [(0, 9)] * 2), ours(x.contiguous(), [(0, 9)] * 2))
        ours(contiguous := x.contiguous(), [(0, 9)] * 2)
        assert torch.equal(x, kept)
        assert torch.equal(contiguous, kept)

    @pytest.mark.parametrize("odd", NOT_FINITE)
    def test_not_finite_spoils_its_text_only(self, sixteen: bool, odd: float) -> None:
        ours, _ = encoders(sixteen)
        x = normal(3, 60, 48)
        clean = ours(x, [(0, 60)] * 3)
        x[1, 3, 20] = odd
        found = ours(x, [(0, 60)] * 3)
        assert not found[1].isfinite().any()
        assert torch.equal(found[[0, 2]], clean[[0, 2]])

    def test_what_does_not_fit(self, sixteen: bool) -> None:
        ours, _ = encoders(sixteen)
        with pytest.raises(ValueError, match="states of 47 numbers"):
            ours(normal(1, 5, 47), [(0, 5)])
        with pytest.raises(ValueError, match="5 heads"):
            Encoder(ours._layers, 5, 0.2, 1e-5)
        with pytest.raises(ValueError, match="scale 0"):
            Encoder(ours._layers, 3, 0, 1e-5)
        (layer, _) = ours._layers
        norm = Norm(normal(48).double(), normal(48))
        with pytest.raises(ValueError, match="not in float32"):
            Encoder([replace(layer, output_norm=norm)], 3, 0.2, 1e-5)
        with pytest.raises(ValueError, match="shapes do not fit"):
            Encoder([replace(layer, down=layer.up)], 3, 0.2, 1e-5)


@both_kinds
def test_no_rows(sixteen: bool) -> None:
    alone(f"""
import torch
from qembed.models.cpu.kernels import Encoder, Layer, Norm, PackedWeight, attention
shapes = ((20, 20), (40, 20), (20, 40))
square, up, down = (PackedWeight(torch.randn(*shape), None, {sixteen}) for shape in shapes)
nothing, norm = torch.empty(0, 20), Norm(torch.ones(20), torch.ones(20))
encoder = Encoder([Layer(*[square] * 4, up, down, norm, norm)], 2, 1.0, 1e-5)
for threads in (1, 3):
    torch.set_num_threads(threads)
    assert attention(*[torch.empty(0, 2, 5, 20)] * 3, [], 1.0, {sixteen}).shape == (0, 5, 2, 20)
    assert encoder(torch.empty(0, 5, 20), []).shape == (0, 5, 20)
    assert encoder(torch.empty(2, 0, 20), [(0, 0)] * 2).shape == (2, 0, 20)
    assert up.linear(nothing).shape == (0, 40)
""")


class TestUnavailable:
    @pytest.fixture(autouse=True)
    def asked_anew(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        caches = kernels._library, kernels.unavailable
        for cache in caches:
            cache.cache_clear()
        yield
        for cache in caches:
            cache.cache_clear()

    @pytest.mark.parametrize("sixteen", [False, True])
    @pytest.mark.parametrize("content", [None, "not a library"])
    def test_without_a_library(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sixteen: bool, content: str | None
    ) -> None:
        library = tmp_path / "_kernels.so"
        if content is not None:
            library.write_text(content)
        monkeypatch.setattr(kernels, "_LIBRARY", library)
        assert kernels.unavailable(sixteen) == "qembed was installed without its compiled kernels"

    @pytest.mark.parametrize(
        ("level", "reasons"),
        [
            (0, ["the CPU has no AVX-512"] * 2),
            (1, ["", "the CPU has no AVX512-VNNI"]),
            (2, ["", ""]),
        ],
    )
    def test_levels_of_cpus(self, monkeypatch: pytest.MonkeyPatch, level: int, reasons: list[str]) -> None:
        library = SimpleNamespace(qembed_supported=lambda: level)
        monkeypatch.setattr(kernels, "_library", lambda: library)
        assert [kernels.unavailable(sixteen) for sixteen in (False, True)] == reasons
