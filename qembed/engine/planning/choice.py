"""``decide`` with what is known of a model and a device: what every command asks before it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from qembed.engine.planning.candidates import Candidate, Limits, Model, unsupported
from qembed.engine.planning.capacity_file import measured_for
from qembed.engine.planning.decide import Decision, decide
from qembed.engine.planning.facts import ModelFacts
from qembed.engine.planning.presets import Device
from qembed.errors import QembedError, UsageError
from qembed.models.loading import LARGE_PARAMETERS

_NO_WISHES = Limits()
USUAL_LONGEST_TOKENS = 2048
"""What is planned for where no corpus is at hand: few chunks are longer."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision and what it was made from.

    Attributes:
        facts: Figures of the model.
        model: The same with what was measured on the device.
        device: All devices of the run in one.
        longest_tokens: Tokens of the longest text, as the model reads it.
        limits: The user's wishes.
        decision: What came of it.
    """

    facts: ModelFacts
    model: Model
    device: Device
    longest_tokens: int
    limits: Limits
    decision: Decision

    def in_words(self) -> str:
        """What was chosen, e.g. ``fp16 on 2 x Tesla T4, 2 workers``."""
        chosen = self.require()
        workers = f"{chosen.workers} worker{'s' * (chosen.workers != 1)}"
        how = f"{workers} over all of them" if chosen.sharded else workers
        return f"{chosen.precision} on {self.device.label}, {how}"

    def require(self) -> Candidate:
        """What to run.

        Raises:
            UsageError: The device cannot compute in the precision that was asked for.
            QembedError: The model does not fit; with every reason, and with what would.
        """
        if self.decision.chosen is not None:
            return self.decision.chosen
        device, asked = self.device, self.limits.precision
        if asked != "auto" and (why := unsupported(asked, device)):
            raise UsageError(
                f"--precision {asked} does not run on {device.label}: {why}", remedy="--precision auto"
            )
        listed = "; ".join(f"{each.precision}: {each.reason}" for each in self.decision.candidates)
        raise QembedError(
            f"{self.facts.id} does not fit {device.label} "
            f"({device.memory_bytes / 1e9:.1f} GB{' each' if device.count > 1 else ''})",
            where=listed or None,
            remedy=self.what_would(),
        )

    def what_would(self) -> str:
        """What to try where nothing fits."""
        freely = replace(self.limits, precision="auto", shard=False, buffer_bytes=None)
        chosen = decide(self.model, self.device, self.longest_tokens, freely).chosen
        if chosen is None:
            return "a smaller model (--model minilm), --max-length, or a larger --device"
        return f"{' '.join(options_of(chosen))} fits; or a smaller model (--model minilm)"


def choose(
    facts: ModelFacts,
    device: Device,
    longest_tokens: int | None = None,
    limits: Limits = _NO_WISHES,
    *,
    note: Callable[[str], None] = lambda _: None,
) -> Choice:
    """Decide, with what was measured here before.

    Args:
        facts: Facts about the model.
        device: From ``find_device`` or ``device_here``.
        longest_tokens: Tokens of the longest text, as the model reads it; 2,048 or its maximum when None.
        limits: The user's wishes.
        note: Called with a message about a file of measurements that cannot be used.
    """
    longest = longest_tokens or min(USUAL_LONGEST_TOKENS, facts.max_tokens)
    model = facts.as_model(measured_for(device.reported, facts.id, note=note))
    return Choice(facts, model, device, longest, limits, decide(model, device, longest, limits))


def require_gpu(facts: ModelFacts, device: Device, asked: str) -> None:
    """A model of billions of weights runs on a CPU only where that is asked for: it would take days.

    Args:
        facts: Facts about the model.
        device: What it would run on.
        asked: As in ``--device``.

    Raises:
        QembedError: It would run on a CPU because there is no GPU.
    """
    if device.name == "cpu" and asked == "auto" and facts.parameters > LARGE_PARAMETERS:
        raise QembedError(
            f"{facts.id} has {facts.parameters / 1e9:.2f} billion parameters and this machine has no GPU",
            remedy="choose a small model (--model minilm), or force this one with --device cpu",
        )


def options_of(chosen: Candidate) -> list[str]:
    """Options of ``qembed embed`` that ask for exactly this candidate."""
    options = ["--precision", chosen.precision]
    if chosen.sharded:
        options.append("--shard")
    if chosen.fit == "tight":
        options += ["--memory-buffer", f"{chosen.buffer_bytes / 1e9:.1f}"]
    return options
