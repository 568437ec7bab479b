"""Which precision, how many workers, how large a batch: the one decision of every command. Pure.

For each precision there is one worker per device; where the weights fit no single device but fit all of them
together, one worker over all (sharded): layer after layer, so the devices wait for each other and the speed
is that of one. ``auto`` takes the fastest exact precision (fp32, fp16, bf16, int16), with less memory left
free where nothing else would do, and a quantised one (int8, nf4) only where every exact one takes several
times as long.

``decide`` needs the longest text and no other: so ``plan``, which reads the corpus, and the commands that do
not, come to the same end. ``timed`` adds what a corpus takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qembed.engine.planning.candidates import Candidate, Limits, Model, add_times, unsupported, work_out
from qembed.engine.planning.memory import QUANTISED
from qembed.engine.planning.presets import Device
from qembed.records import Lengths

_NO_WISHES = Limits()
SEVERAL_TIMES = 3.0
"""Quantised vectors are other vectors: they must save this factor of the time to be chosen unasked."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to run.

    Attributes:
        candidates: Every precision worked out, the widest first.
        chosen: The one to run; None where nothing fits.
        why: What the user should know of the choice, one sentence; empty where it is the obvious one.
    """

    candidates: tuple[Candidate, ...]
    chosen: Candidate | None
    why: str = ""


def decide(model: Model, device: Device, longest_tokens: int, limits: Limits = _NO_WISHES) -> Decision:
    """Choose precision, workers, batch and the memory left free.

    Args:
        model: From ``ModelFacts.as_model``.
        device: What it is to run on; all devices of a run in one.
        longest_tokens: Tokens of the longest text, as the model reads it.
        limits: The user's wishes. A precision that was asked for is taken or refused, never replaced.
    """
    found = []
    for precision in _considered(model, device, limits):
        whole = None if limits.shard else work_out(model, device, precision, longest_tokens, limits)
        if whole is not None:
            found.append(whole)
        several = device.count > 1 and device.capability is not None
        if several and (whole is None or whole.fit != "fits") and precision not in QUANTISED:
            split = work_out(model, device, precision, longest_tokens, limits, shard=True)
            if limits.shard or split.fit != "no":
                found.append(split)
    usable = ("fits", "tight") if limits.buffer_bytes is None else ("fits",)
    chosen = _choose([each for each in found if each.fit in usable])
    unasked = limits.precision == "auto" or (chosen is not None and not chosen.quantised)
    return Decision(tuple(found), chosen, _why(found, chosen, device) if chosen and unasked else "")


def _considered(model: Model, device: Device, limits: Limits) -> list[str]:
    if limits.precision != "auto":
        return [limits.precision]
    if device.capability is None:
        without = ("int16",) if model.better_in_16_bits else ()
        return [each for each in model.weight_bytes if each in device.tflops and each not in without]
    return [each for each in model.weight_bytes if each != "int16"]


def _choose(fitting: Sequence[Candidate]) -> Candidate | None:
    """The fastest exact one, unless the fastest quantised one takes a small part of its time."""
    exact = _fastest([each for each in fitting if not each.quantised])
    quantised = _fastest([each for each in fitting if each.quantised])
    if exact is None or quantised is None:
        return exact or quantised
    return quantised if _times_as_long(exact, quantised) > SEVERAL_TIMES else exact


def _fastest(fitting: Sequence[Candidate]) -> Candidate | None:
    # bf16 before fp16: as fast, and it does not overflow. int16 before both: as fast, and more exact.
    order = ("int16", "bf16", "fp16", "fp32", "int8", "nf4")

    def rank(each: Candidate) -> tuple[float, int]:
        return float(f"{each.seconds_per_token:.2e}"), order.index(each.precision)

    return min(fitting, key=rank, default=None)


def _times_as_long(slow: Candidate, fast: Candidate) -> float:
    return slow.seconds_per_token / fast.seconds_per_token


def _why(found: Sequence[Candidate], chosen: Candidate, device: Device) -> str:
    """Why it is not what one would expect: quantised, spread over the cards, or with little left free."""
    if chosen.quantised:
        exact = _fastest([each for each in found if not each.quantised and each.fit != "no"])
        if exact is not None:
            how = " over all cards" if exact.sharded else ""
            return f"{exact.precision}{how} would take {_times_as_long(exact, chosen):.1f} times as long."
        refused = [each for each in found if not each.quantised and not unsupported(each.precision, device)]
        nearest = max(refused, key=lambda each: each.room_bytes, default=None)
        return f"No exact precision fits ({nearest.precision}: {nearest.reason})." if nearest else ""
    parts = []
    if chosen.sharded:
        parts.append("one card is too small for it, so the cards share the model and take turns")
    if chosen.fit == "tight":
        free = f"{chosen.buffer_bytes / 1e9:.1f} GB"
        parts.append(f"{free} are left free on each device instead of the usual 2 GB")
    quick = _fastest([each for each in found if each.quantised and each.fit != "no"])
    if parts and quick is not None:
        parts.append(f"{quick.precision} would fit more easily, but its vectors are less exact")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def timed(decision: Decision, model: Model, device: Device, lengths: Lengths) -> Decision:
    """The same decision with batches and seconds for a corpus.

    Args:
        decision: Made for the longest of these texts.
        model: As for ``decide``.
        device: As for ``decide``.
        lengths: Tokens that the model reads of each unique text; int64 (texts,), not empty.
    """
    found = [
        each if each.fit == "no" else add_times(each, model, device, lengths) for each in decision.candidates
    ]
    chosen = decision.chosen and found[decision.candidates.index(decision.chosen)]
    return replace(decision, candidates=tuple(found), chosen=chosen)
