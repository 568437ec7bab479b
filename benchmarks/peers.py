"""qembed against other encoders, with the same weights (all-MiniLM-L6-v2), on unique texts only.

Each peer runs in a process of its own, if need be in a virtual environment of its own, with the fastest of
several settings (batch sizes, graphs, processes), tried first on texts that are not measured. Every round
gives the same slice of texts to each peer in turn, so that a slow phase of the machine hits all; ratios are
those of a round, then the median over rounds. Tokenising is in the time, loading is not.

    python benchmarks/peers.py                              # peers in this Python, texts made here
    bash benchmarks/peers_setup.sh FOLDER                   # once: environments, exported models (5 GB)
    python benchmarks/peers.py --setup FOLDER --input CHUNKS --texts 600 --rounds 5
    python benchmarks/peers.py --setup FOLDER --peers "ST bf16,OpenVINO bf16,qembed auto"
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import machine_line, markdown_table, sample, unique_texts
from peer_list import LOOP, PEERS, REFERENCE
from peer_rounds import Measured, PeerFailed, Plan, measure

from qembed.commands.corpus.from_package import corpus_from_package
from qembed.models import load_tokenizer, resolve_model

RATIOS = ("x loop", "x fastest")
STRICT, NEAR = 0.99999, 0.9999
"""Mean cosines of equal fidelity: fp32 in another order of sums; bf16."""

LEGEND = f"""x loop, x fastest: how many times as fast as the loop that users write (slices of 24 texts as
they come) and as the fastest peer of mean cosine >= {NEAR}; of each round, then the median. Cosines are with
fp32 sentence-transformers, one text at a time. tokens/CPU s: for each second of processor time, which other
work on the machine changes less than it changes the rates."""


def main() -> None:
    """Choose texts, measure, print markdown; what is going on goes to stderr."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", type=Path, help="a folder of chunks; made from installed packages else")
    parser.add_argument("--texts", type=int, default=600, help="unique texts to measure, chosen at random")
    parser.add_argument("--tuning", type=int, default=64, help="texts on which settings are tried")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", help="names as in the table, separated by commas; all when left out")
    parser.add_argument("--setup", type=Path, help="the folder that peers_setup.sh was given")
    arguments = parser.parse_args()
    known = {peer.name: peer for peer in PEERS}
    names = arguments.peers.split(",") if arguments.peers else list(known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no peer {unknown[0]!r}; one of: {', '.join(known)}")
    with tempfile.TemporaryDirectory(prefix="qembed-bench-") as name:
        work = Path(name)
        chunks = arguments.input or work / "python_api"
        if arguments.input is None:
            corpus_from_package(("click", "rich", "qdrant_client"), chunks, model="minilm")
        texts = sample(unique_texts(chunks), arguments.tuning + arguments.texts)
        tuning = min(arguments.tuning, len(texts) // 4)
        source = resolve_model("minilm")
        assert source.path is not None
        setup = arguments.setup.resolve() if arguments.setup else None
        plan = Plan(texts, tuning, arguments.rounds, source.path, setup, work)
        counter = load_tokenizer(source)
        tokens = np.minimum(counter.count(texts), counter.max_tokens)
        try:
            results = measure([known[name] for name in names], REFERENCE, plan, _say)
        except PeerFailed as failure:
            sys.exit(str(failure))
        print(report(results, plan.slices(), tokens, chunks.name))


def report(
    results: Sequence[Measured], slices: Sequence[tuple[int, int]], tokens: np.ndarray, collection: str
) -> str:
    """The table in markdown, the fastest first; what could not run is named below it."""
    texts = np.array([stop - start for start, stop in slices])
    of_round = np.array([tokens[start:stop].sum() for start, stop in slices])
    ran = [result for result in results if not result.trouble]
    ran.sort(key=lambda result: -float(np.median(of_round / result.seconds)))
    loop = next((r for r in ran if r.peer.name == LOOP.name), None)
    fastest = _fastest(ran, NEAR)
    rows = [
        (
            result.peer.name,
            f"{np.median(texts / result.seconds):.1f}",
            f"{np.median(of_round / result.seconds):,.0f}",
            f"{of_round.sum() / sum(result.cpu_seconds):,.0f}",
            _ratio(loop, result),
            _ratio(fastest, result),
            f"{result.cosines.mean():.6f}",
            f"{result.cosines.min():.6f}",
            ", ".join(f"{key} {value}" for key, value in result.setting.items() if value is not None),
        )
        for result in ran
    ]
    header = ("", "texts/s", "tokens/s", "tokens/CPU s", *RATIOS, "mean cosine", "min cosine", "setting")
    lines = [
        f"## peers: {collection}, {int(texts.sum()):,} unique texts, {int(of_round.sum()):,} tokens\n",
        f"{machine_line()}, {len(slices)} rounds\n",
        markdown_table(header, rows, left=(0, len(header) - 1)),
        "",
        *(line for ours in ran if _is_ours(ours) for line in _versus(ours, ran)),
        *(f"- {result.peer.name}: {result.trouble}" for result in results if result.trouble),
        "",
        LEGEND,
        "",
        *_versions(ran),
    ]
    return "\n".join(lines) + "\n"


def _versions(ran: Sequence[Measured]) -> list[str]:
    """A line for each virtual environment."""
    found: dict[str, dict[str, str]] = {}
    for result in ran:
        found.setdefault(result.peer.environment or "this Python", {}).update(result.versions)
    return [
        f"- {environment}: " + ", ".join(f"{name} {number}" for name, number in sorted(versions.items()))
        for environment, versions in sorted(found.items())
    ]


def _is_ours(result: Measured) -> bool:
    return result.peer.name.startswith("qembed")


def _fastest(ran: Sequence[Measured], fidelity: float, *, by_hand: bool = True) -> Measured | None:
    """The first, hence fastest, peer that is not qembed and whose mean cosine reaches ``fidelity``.

    Without ``by_hand`` only libraries that users pick.
    """
    peers = (result for result in ran if not _is_ours(result) and (by_hand or not result.peer.by_hand))
    return next((result for result in peers if result.cosines.mean() >= fidelity), None)


def _per_round(slower: Measured, faster: Measured) -> np.ndarray:
    return np.array(slower.seconds) / np.array(faster.seconds)


def _ratio(base: Measured | None, result: Measured) -> str:
    return f"{np.median(_per_round(base, result)):.2f}" if base else "-"


def _versus(ours: Measured, ran: Sequence[Measured]) -> list[str]:
    """Against the fastest peer and the fastest library, of our class of fidelity and of any that counts."""
    lines: dict[str, str] = {}
    for fidelity in (STRICT, NEAR) if ours.cosines.mean() >= STRICT else (NEAR,):
        for kind, by_hand in (("library", False), ("peer", True)):
            peer = _fastest(ran, fidelity, by_hand=by_hand)
            if peer is None:
                lines[kind] = f"- {ours.peer.name}: no {kind} of mean cosine >= {fidelity} to compare with"
                continue
            ratios = _per_round(peer, ours)
            lines.setdefault(
                peer.peer.name,
                f"- {ours.peer.name}: {np.median(ratios):.2f} times {peer.peer.name}, the fastest {kind} of "
                f"mean cosine >= {fidelity} (rounds: {ratios.min():.2f} to {ratios.max():.2f})",
            )
    return list(lines.values())


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
