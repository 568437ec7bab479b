"""Every combination of precision and workers, and the choice: what must hold of any of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.engine.batching import make_batches
from qembed.engine.planning.candidates import Candidate, Limits, Model, unsupported
from qembed.engine.planning.capacity import Capacity
from qembed.engine.planning.decide import SEVERAL_TIMES, Decision, decide, timed
from qembed.engine.planning.memory import QUANTISED
from qembed.engine.planning.presets import Device, describe_gpu, find_device
from qembed.engine.planning.speed import operations, predict_seconds, shapes_of
from qembed.models.catalog import find_model
from qembed.records import Lengths

LENGTHS = np.linspace(20, 700, 1000).astype(np.int64)
GB = 1_000_000_000
NO_WISHES = Limits()


def known(name: str = "nomic-embed-code", **measured: Capacity) -> Model:
    card = find_model(name)
    assert card is not None
    large = card.parameters > 1e9
    return Model(card.architecture, card.weight_bytes.by_dtype(), measured, large, better_in_16_bits=large)


def decided(
    device: str | Device, limits: Limits = NO_WISHES, lengths: Lengths = LENGTHS, model: Model | None = None
) -> Decision:
    hardware = find_device(device) if isinstance(device, str) else device
    model = model or known()
    return timed(decide(model, hardware, int(lengths.max()), limits), model, hardware, lengths)


def worked_out(
    device: str | Device, limits: Limits = NO_WISHES, lengths: Lengths = LENGTHS, model: Model | None = None
) -> dict[tuple[str, bool], Candidate]:
    found = decided(device, limits, lengths, model).candidates
    return {(each.precision, each.sharded): each for each in found}


def chosen(*arguments: Any, **options: Any) -> Candidate:
    found = decided(*arguments, **options).chosen
    assert found is not None
    return found


def one(device: str, precision: str, *, sharded: bool = False, **limits: int) -> Candidate:
    return worked_out(device, Limits(**limits))[precision, sharded]  # type: ignore[arg-type]


class TestWhatIsTrueOfTheDefaultModel:
    """DESIGN.md: fp32 does not fit a T4, fp16 leaves 1.4 GB of it, int8 and nf4 leave 6 to 9 GB."""

    def test_on_two_t4(self) -> None:
        found = worked_out("t4x2")
        assert found["fp32", False].fit == "no"
        assert found["fp16", False].fit == "tight"
        assert 1 <= found["fp16", False].batch_at_longest < 12
        assert found["bf16", False].fit == "no"
        assert "emulated" in found["bf16", False].reason
        assert 5.5 * GB < found["int8", False].room_bytes < 7 * GB
        assert 8 * GB < found["nf4", False].room_bytes < 9.5 * GB

    def test_fp16_with_less_left_free_before_anything_that_is_not_exact(self) -> None:
        decision = decided("t4x2")
        best = decision.chosen
        assert best is not None
        assert (best.precision, best.fit, best.workers, best.sharded) == ("fp16", "tight", 2, False)
        assert 0.3 * GB <= best.buffer_bytes <= 0.7 * GB
        assert "are left free on each device instead of the usual 2 GB; nf4 would fit more easily" in (
            decision.why
        )

    def test_texts_too_long_for_a_card_alone_are_shared_by_two(self) -> None:
        decision = decided("t4x2", lengths=np.asarray([9000, 10]))
        best = decision.chosen
        assert best is not None
        assert (best.precision, best.workers, best.sharded) == ("fp16", 1, True)
        assert decision.why.startswith("One card is too small for it")

    def test_quantised_where_nothing_exact_fits(self) -> None:
        decision = decided("t4", lengths=np.asarray([9000, 10]))
        assert decision.chosen is not None
        assert decision.chosen.quantised
        assert decision.why.startswith("No exact precision fits (fp16: a text of 9,000 tokens takes ")
        assert decided("t4", Limits(precision="nf4"), np.asarray([9000])).why == ""  # it was asked for

    def test_quantised_where_it_saves_several_times(self) -> None:
        slow = Capacity(14e9, 100e3, 0.0, 0.0, 4e-3, 0.0)
        quick = Capacity(8e9, 200e3, 0.0, 0.0, 1e-3, 0.0)
        model = known(fp16=slow, int8=quick, nf4=slow)
        assert chosen("t4", model=model).precision == "int8"
        assert decided("t4", model=model).why == "fp16 would take 4.0 times as long."
        nearly = replace(slow, seconds_per_token=(SEVERAL_TIMES - 0.1) * 1e-3)
        assert chosen("t4", model=known(fp16=nearly, int8=quick, nf4=slow)).precision == "fp16"

    def test_sharding_serialises_the_cards(self) -> None:
        found = worked_out("t4x2")
        shared = found["fp16", True]
        assert (shared.fit, shared.workers) == ("fits", 1)
        assert shared.weights_bytes * 2 == known().weight_bytes["fp16"]
        assert shared.seconds is not None
        one_card = predict_seconds(
            find_device("t4"),
            known().architecture,
            "fp16",
            known().weight_bytes["fp16"],
            shapes_of(LENGTHS, make_batches(LENGTHS, token_budget=shared.budget_tokens, max_batch=24)),
        )
        assert shared.seconds == pytest.approx(one_card)

    def test_two_cards_halve_the_time(self) -> None:
        one_card, two_cards = one("t4", "nf4").seconds, one("t4x2", "nf4").seconds
        assert one_card is not None
        assert two_cards is not None
        assert two_cards == pytest.approx([seconds / 2 for seconds in one_card])

    def test_what_is_tight_is_as_with_the_buffer_that_is_named(self) -> None:
        tight = one("t4", "fp16", max_batch=24)
        named = float(tight.reason.split()[-1])
        again = one("t4", "fp16", max_batch=24, buffer_bytes=int(named * GB))
        assert again.fit == "fits"
        assert again.safe_tokens == tight.safe_tokens
        assert again.seconds == tight.seconds

    def test_a_buffer_that_was_asked_for_is_kept(self) -> None:
        strict = decided("t4", Limits(precision="fp16", buffer_bytes=2 * GB))
        assert [each.fit for each in strict.candidates] == ["tight"]
        assert strict.chosen is None

    def test_a_large_card_needs_no_quantising(self) -> None:
        for card in ("a100", "h200", "a100-80gb", "l40s", "rtx-4090"):
            best = chosen(card)
            assert (best.precision, best.fit) == ("bf16", "fits")
            assert decided(card).why == ""
        assert chosen("p100", model=known("minilm")).precision == "fp16"

    def test_a_text_that_is_too_long(self) -> None:
        decision = decided("t4", lengths=np.asarray([64_000, 10]))
        reasons = {each.precision: each.reason for each in decision.candidates}
        assert "64,000 tokens" in reasons["int8"]
        assert decision.chosen is None

    def test_24_texts_only_for_large_models(self) -> None:
        assert chosen("t4").max_batch == 24
        assert chosen("t4", model=known("minilm")).max_batch is None
        assert chosen("t4", Limits(max_batch=7), model=known("minilm")).max_batch == 7


class TestLimits:
    def test_only_one_precision(self) -> None:
        assert {precision for precision, _ in worked_out("t4", Limits(precision="int8"))} == {"int8"}

    def test_only_sharded(self) -> None:
        found = worked_out("t4x2", Limits(precision="fp16", shard=True))
        assert list(found) == [("fp16", True)]

    def test_batches_are_capped(self) -> None:
        assert one("l4", "fp16", max_batch=5).batch_at_longest == 5
        capped = one("l4", "fp16", token_budget=2100)
        assert (capped.budget_tokens, capped.batch_at_longest) == (2100, 3)
        assert capped.safe_tokens > 2100

    def test_a_cpu_has_no_cuda_context(self) -> None:
        cpu = replace(find_device("cpu"), memory_bytes=3 * GB)
        limits = Limits(precision="fp32", buffer_bytes=0)
        (found,) = decided(cpu, limits, model=known("minilm")).candidates
        assert found.room_bytes == 3 * GB - known("minilm").weight_bytes["fp32"]
        assert found.context_bytes == 0

    def test_workers_of_a_cpu_share_no_model(self) -> None:
        cpu = replace(find_device("cpu*2"), memory_bytes=2 * GB)
        assert not any(each.sharded for each in decided(cpu).candidates)


class TestSupport:
    @pytest.mark.parametrize(
        ("device", "cannot"),
        [("p100", {"bf16", "int8"}), ("t4", {"bf16"}), ("l4", set()), ("h100", set())],
    )
    def test_of_gpus(self, device: str, cannot: set[str]) -> None:
        hardware = find_device(device)
        dtypes = ("fp32", "fp16", "bf16", "int8", "nf4")
        assert {dtype for dtype in dtypes if unsupported(dtype, hardware)} == cannot

    def test_of_a_cpu(self) -> None:
        cpu = replace(find_device("cpu"), tflops={"fp32": 1.0})
        dtypes = ("fp32", "fp16", "bf16", "int8", "nf4")
        assert [dtype for dtype in dtypes if unsupported(dtype, cpu)] == ["bf16"]
        assert unsupported("int16", cpu) == "this CPU has no int16 arithmetic"
        offered = decided(replace(cpu, memory_bytes=9 * GB), model=known("minilm")).candidates
        assert [each.precision for each in offered] == ["fp32"]  # the others only where they are asked for
        assert chosen(replace(cpu, memory_bytes=9 * GB), Limits(precision="fp16"), model=known("minilm"))

    def test_int16_is_for_cpus(self) -> None:
        fast = replace(find_device("cpu"), memory_bytes=3 * GB, tflops={"fp32": 1.0, "int16": 2.0})
        decision = decided(fast, model=known("minilm"))
        assert [each.precision for each in decision.candidates] == ["fp32", "int16"]
        assert decision.chosen is decision.candidates[1]
        small = replace(known("minilm"), better_in_16_bits=True)
        assert [each.precision for each in decided(fast, model=small).candidates] == ["fp32"]
        assert "int16" not in [each.precision for each in decided("t4", model=known("minilm")).candidates]
        (asked,) = decided("t4", Limits(precision="int16"), model=known("minilm")).candidates
        assert (asked.fit, asked.reason) == ("no", "for CPUs")


class TestProperties:
    @given(
        st.sampled_from(["t4", "p100", "l4", "a100", "h100"]),
        st.integers(1, 4),
        st.one_of(st.none(), st.integers(0, 6 * GB)),
        st.lists(st.integers(1, 4000), min_size=1, max_size=60),
        st.one_of(st.none(), st.integers(1, 64)),
    )
    def test_no_planned_batch_exceeds_the_memory(
        self, name: str, count: int, buffer: int | None, lengths: list[int], max_batch: int | None
    ) -> None:
        hardware = replace(find_device(name), count=count)
        read = np.asarray(lengths, dtype=np.int64)
        limits = Limits(buffer_bytes=buffer, max_batch=max_batch)
        for each in decided(hardware, limits, read).candidates:
            if each.fit == "no":
                assert each.seconds is None
                continue
            free = hardware.memory_bytes - each.weights_bytes - each.context_bytes - each.buffer_bytes
            for batch in make_batches(read, token_budget=each.budget_tokens, max_batch=each.max_batch):
                padded = int(read[batch].max()) * len(batch)
                assert padded <= each.budget_tokens
                assert each.forward.of_batch(padded) <= free + 1

    @given(st.integers(6 * GB, 80 * GB), st.integers(0, 40 * GB), st.integers(64, 4000))
    def test_more_memory_never_means_smaller_batches(self, memory: int, more: int, longest: int) -> None:
        card = find_device("l4")

        def safe(memory: int) -> dict[str, int]:
            found = decide(known(), replace(card, memory_bytes=memory), longest).candidates
            return {each.precision: each.safe_tokens for each in found if each.fit != "tight"}

        less, much = safe(memory), safe(memory + more)
        assert all(much[dtype] >= less[dtype] for dtype in less if dtype in much)

    @given(st.integers(64, 3000), st.integers(1, 1000))
    def test_longer_texts_never_mean_larger_batches(self, longest: int, more: int) -> None:
        short = worked_out("t4", lengths=np.asarray([longest]))
        long = worked_out("t4", lengths=np.asarray([longest + more]))
        for key in (("int8", False), ("nf4", False)):
            assert long[key].batch_at_longest <= short[key].batch_at_longest

    @given(
        st.sampled_from(["t4", "t4x2", "p100", "l4x2", "a100", "h100x4"]),
        st.integers(2 * GB, 90 * GB),
        st.integers(1, 20_000),
    )
    def test_the_fastest_exact_one_unless_another_takes_a_part_of_its_time(
        self, name: str, memory: int, longest: int
    ) -> None:
        decision = decide(known(), replace(find_device(name), memory_bytes=memory), longest)
        running = [each for each in decision.candidates if each.fit != "no"]
        assert (decision.chosen is None) == (not running)
        if decision.chosen is None:
            return
        assert decision.chosen in running
        best = decision.chosen.seconds_per_token
        exact = [each.seconds_per_token for each in running if not each.quantised]
        if decision.chosen.quantised:
            assert not exact or min(exact) > SEVERAL_TIMES * best
            assert decision.why
        else:
            assert best == pytest.approx(min(exact), rel=0.01)
            quantised = [each.seconds_per_token for each in running if each.quantised]
            assert not quantised or best <= SEVERAL_TIMES * min(quantised)

    def test_the_choice_knows_the_longest_text_only(self) -> None:
        for lengths in (LENGTHS, np.asarray([700]), np.asarray([700, *[3] * 5000])):
            assert chosen("t4x2", lengths=lengths).precision == "fp16"
            assert chosen("t4x2", lengths=lengths).buffer_bytes == chosen("t4x2").buffer_bytes


class TestMeasured:
    FACTS = Capacity(8 * GB, 400e3, 0.0, 0.0, 2e-3, 0.0)

    def test_measurements_win_over_the_formula(self) -> None:
        hardware = find_device("t4")
        (found,) = decided(hardware, Limits(precision="int8"), model=known(int8=self.FACTS)).candidates
        assert found.measured
        assert found.weights_bytes == 8 * GB
        assert found.safe_tokens == (hardware.memory_bytes - 8 * GB - 2_300_000_000) // 400_000
        assert found.seconds is not None
        padded = int(LENGTHS.sum()) / (1 - found.padding_waste)
        assert found.seconds == pytest.approx((padded * 2e-3 * 0.9, padded * 2e-3 * 1.25))

    def test_and_they_decide(self) -> None:
        quick = Capacity(8 * GB, 400e3, 0.0, 0.0, 1e-6, 0.0)
        assert chosen("t4", model=known(int8=quick)).precision == "int8"

    def test_a_gpu_that_nobody_described(self) -> None:
        best = chosen(describe_gpu("NVIDIA Something", 48 * GB, (8, 6), 2))
        assert (best.precision, best.seconds) == ("bf16", None)


class TestSpeed:
    def test_operations(self) -> None:
        model = known()
        shapes = shapes_of(np.asarray([100, 50]), [np.asarray([0, 1])])
        attention = 4 * 28 * 28 * 128 * 100
        assert operations(model.architecture, shapes).tolist() == [200 * (2 * 6_525_288_448 + attention)]
        assert shapes.waste == pytest.approx(0.25)

    def test_of_no_text(self) -> None:
        shapes = shapes_of(np.asarray([], dtype=np.int64), [])
        assert shapes.waste == 0
        assert predict_seconds(find_device("t4"), known().architecture, "fp16", 10, shapes) == (0, 0)

    @given(st.sampled_from(["fp32", "fp16", "int8", "nf4"]), st.integers(1, 4000), st.integers(1, 64))
    def test_best_is_never_worse_than_worst(self, dtype: str, longest: int, size: int) -> None:
        model = known()
        shapes = shapes_of(np.full(size, longest), [np.arange(size)])
        weights = model.weight_bytes[dtype]
        best, worst = predict_seconds(find_device("t4"), model.architecture, dtype, weights, shapes)
        assert 0 < best <= worst

    @pytest.mark.parametrize("dtype", QUANTISED)
    def test_quantised_is_slower_on_large_batches(self, dtype: str) -> None:
        model, t4 = known(), find_device("t4")
        shapes = shapes_of(np.full(24, 600), [np.arange(24)])
        slow = predict_seconds(t4, model.architecture, dtype, model.weight_bytes[dtype], shapes)
        whole = predict_seconds(t4, model.architecture, "fp16", model.weight_bytes["fp16"], shapes)
        assert slow[0] > whole[0]
        assert slow[1] > whole[1]
