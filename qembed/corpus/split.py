"""Long texts into parts that a model reads whole: at paragraphs, then lines, sentences, words. Pure.

Every part starts with a header (the name of what is described, with its signature), so that it stands
alone. Cuts fall on the coarsest boundary that fits, code blocks stay whole when they fit, nothing is lost
and order is kept. Tokens are counted in batches: a text is measured once as a whole, once by its lines,
and its parts once more, because the tokens of two pieces need not add up to those of the joined text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from qembed.corpus.signatures import one_a_line, shorten
from qembed.records import Lengths

CountTokens: TypeAlias = Callable[[Sequence[str]], Lengths]
"""Texts to tokens of each, special tokens included, untruncated."""

ROUNDS = 8
"""Attempts at most; each one leaves as many tokens free as the one before went over the limit."""
CROWDED_ROOM_TOKENS = 16
"""Room of a part whose header alone reaches the limit; such a part is over the limit."""

_FENCE = re.compile(r"\s*(```+|~~~+)")
_LEADS_ON = re.compile(r"(:|[-=~^*#]{3,})\s*$")
_SENTENCE_END = re.compile(r"(?<=[.!?;,])\s+")


@dataclass(frozen=True, slots=True)
class Text:
    """What is to be split.

    Attributes:
        name: Never cut; starts ``title``.
        title: One line: the name, with its signature where it has one.
        body: The rest, any number of lines.
    """

    name: str
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a text; ``tokens`` counts header and body together."""

    header: str
    body: str
    tokens: int

    @property
    def content(self) -> str:
        """What is embedded."""
        return _joined(self.header, self.body)


@dataclass(frozen=True, slots=True)
class _Atom:
    """A piece that is not cut further; ``before`` joins it to the atom before it in the same part."""

    text: str
    before: str
    tokens: int
    break_tokens: int = 0


@dataclass(slots=True)
class _Job:
    """A text that is too long, with its headers and the tokens that they leave free."""

    index: int
    headers: tuple[str, str]
    body: str
    rooms: tuple[int, int] = (0, 0)
    parts: list[Part] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Meter:
    """Counts pieces without the special tokens; knows what a line break costs."""

    count_tokens: CountTokens
    special: int
    breaks: dict[str, int]

    @classmethod
    def of(cls, count_tokens: CountTokens) -> _Meter:
        special, one_line, line_break, blank_line = count_tokens(["", "a b", "a\nb", "a\n\nb"]).tolist()
        breaks = {"\n": max(0, line_break - one_line), "\n\n": max(0, blank_line - one_line)}
        return cls(count_tokens, special, breaks)

    def of_pieces(self, pieces: Iterable[str]) -> dict[str, int]:
        unique = list(dict.fromkeys(pieces))
        counts = self.count_tokens(unique).tolist() if unique else []
        return {piece: max(1, count - self.special) for piece, count in zip(unique, counts, strict=True)}


def split_texts(texts: Sequence[Text], max_tokens: int, count_tokens: CountTokens) -> list[list[Part]]:
    """The parts of each text, in order; one part where the text fits as it is.

    The first part has the whole title, or a shortened one where the title alone takes more than half of
    the limit: the signature then ends the body, one parameter a line. Later parts have at most a quarter of
    the limit as header. Joining the bodies of a text's parts gives back its body up to white space.

    Args:
        texts: What to split.
        max_tokens: Tokens of a part at most, header and special tokens included. Only a part whose header
            alone reaches the limit goes over it.
        count_tokens: See ``CountTokens``.
    """
    if not texts:
        return []
    counts = count_tokens([_joined(text.title, text.body) for text in texts]).tolist()
    parts = [[Part(text.title, text.body, count)] for text, count in zip(texts, counts, strict=True)]
    long = [index for index, count in enumerate(counts) if count > max_tokens]
    if long:
        meter = _Meter.of(count_tokens)
        for job in _solve(_jobs(texts, long, max_tokens, meter), max_tokens, meter):
            parts[job.index] = job.parts
    return parts


def _joined(header: str, body: str) -> str:
    return f"{header}\n\n{body}" if body else header


def _jobs(texts: Sequence[Text], long: list[int], max_tokens: int, meter: _Meter) -> list[_Job]:
    titles = meter.of_pieces(texts[index].title for index in long)
    jobs = []
    for index in long:
        text = texts[index]
        tokens = titles[text.title]
        brief = shorten(text.name, text.title, len(text.title) * (max_tokens // 4) // tokens)
        if tokens > max_tokens // 2 and brief != text.title:
            jobs.append(
                _Job(
                    index, (brief, brief), f"{text.body}\n\n{one_a_line(text.name, text.title)}".lstrip("\n")
                )
            )
        else:
            jobs.append(_Job(index, (text.title, brief), text.body))
    headers = meter.of_pieces(header for job in jobs for header in job.headers)
    for job in jobs:
        first, later = (_room(headers[header], max_tokens, meter) for header in job.headers)
        job.rooms = (first, later)
    return jobs


def _room(header_tokens: int, max_tokens: int, meter: _Meter) -> int:
    room = max_tokens - meter.special - header_tokens - meter.breaks["\n\n"]
    return room if room >= 1 else CROWDED_ROOM_TOKENS


def _solve(jobs: list[_Job], max_tokens: int, meter: _Meter) -> list[_Job]:
    """Pack, measure what came out, and pack again with less room where a part is over the limit."""
    pending = jobs
    for _ in range(ROUNDS):
        bodies = [_bodies(job, blocks) for job, blocks in zip(pending, _atoms(pending, meter), strict=True)]
        pieces = [
            (job, job.headers[number > 0], body)
            for job, of_job in zip(pending, bodies, strict=True)
            for number, body in enumerate(of_job)
        ]
        counts = meter.count_tokens([_joined(header, body) for _, header, body in pieces]).tolist()
        over: dict[int, int] = {}
        for job in pending:
            job.parts = []
        for (job, header, body), tokens in zip(pieces, counts, strict=True):
            job.parts.append(Part(header, body, tokens))
            over[job.index] = max(over.get(job.index, 0), tokens - max_tokens)
        pending = [job for job in pending if over[job.index] > 0 and max(job.rooms) > 1]
        if not pending:
            break
        for job in pending:
            first, later = (max(1, room - over[job.index]) for room in job.rooms)
            job.rooms = (first, later)
    return jobs


def _atoms(jobs: list[_Job], meter: _Meter) -> list[list[list[_Atom]]]:
    """The blocks of each job as atoms, none larger than the job's smaller room."""
    blocks = [_blocks(job.body) for job in jobs]
    rooms = [min(job.rooms) for job in jobs]
    tokens = meter.of_pieces(line for of_job in blocks for block in of_job for line in block)
    long = [
        line
        for of_job, room in zip(blocks, rooms, strict=True)
        for line in dict.fromkeys(line for block in of_job for line in block)
        if tokens[line] > room
    ]
    tokens |= meter.of_pieces(sentence for line in long for sentence in _SENTENCE_END.split(line))
    tokens |= meter.of_pieces(word for line in long for word in line.split())
    result = []
    for of_job, room in zip(blocks, rooms, strict=True):
        result.append([_block_atoms(block, room, tokens, meter.breaks) for block in of_job])
        result[-1] = _led_on(result[-1], room)
    return result


def _blocks(body: str) -> list[list[str]]:
    """Paragraphs as lists of lines; a fenced block is one paragraph, blank lines and all."""
    blocks: list[list[str]] = [[]]
    fence = ""
    for raw in body.split("\n"):
        line = raw.rstrip()
        found = _FENCE.match(line)
        if found and not fence:
            fence = found[1]
        elif found and found[1].startswith(fence):
            fence = ""
        if line or fence:
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if any(block)]


def _block_atoms(block: list[str], room: int, tokens: dict[str, int], breaks: dict[str, int]) -> list[_Atom]:
    atoms: list[_Atom] = []
    before = "\n\n"
    for line in block:
        if not line:
            before = "\n\n"
            continue
        cost = breaks[before]
        if tokens[line] <= room:
            atoms.append(_Atom(line, before, tokens[line], cost))
        else:
            pieces = _pieces(line, room, tokens)
            atoms += [
                _Atom(text, before if not at else " ", spent) for at, (text, spent) in enumerate(pieces)
            ]
        before = "\n"
    return atoms


def _pieces(line: str, room: int, tokens: dict[str, int]) -> list[tuple[str, int]]:
    """A line that is too long: as sentences, the long ones as words, the long ones as slices."""
    pieces: list[tuple[str, int]] = []
    for sentence in _SENTENCE_END.split(line):
        if tokens[sentence] <= room:
            pieces.append((sentence.strip(), tokens[sentence]))
            continue
        for word in sentence.split():
            if tokens[word] <= room:
                pieces.append((word, tokens[word]))
                continue
            size = max(1, len(word) * room // tokens[word])
            slices = [word[start : start + size] for start in range(0, len(word), size)]
            pieces += [(piece, room) for piece in slices]
    return [(text, spent) for text, spent in pieces if text]


def _led_on(blocks: list[list[_Atom]], room: int) -> list[list[_Atom]]:
    """Join a block that announces the next one (``Example::``, an underlined title) to it, if both fit."""
    joined: list[list[_Atom]] = []
    for block in blocks:
        if joined and _LEADS_ON.search(joined[-1][-1].text) and _spent(joined[-1] + block) <= room:
            joined[-1] = joined[-1] + block
        else:
            joined.append(block)
    return joined


def _spent(atoms: Sequence[_Atom]) -> int:
    """Tokens of the joined atoms; what joins the first one to the header is not counted."""
    return sum(atom.tokens + atom.break_tokens for atom in atoms) - (atoms[0].break_tokens if atoms else 0)


def _bodies(job: _Job, blocks: list[list[_Atom]]) -> list[str]:
    """Fill part after part; a block moves on whole when it fits into the next part but not into this one."""
    parts: list[list[_Atom]] = [[]]

    def fits(atoms: list[_Atom]) -> bool:
        return not parts[-1] or _spent(parts[-1] + atoms) <= job.rooms[len(parts) > 1]

    for block in blocks:
        if not fits(block) and _spent(block) <= job.rooms[1]:
            parts.append([])
        started = len(parts[-1])
        for atom in block:
            while not fits([atom]):
                cut = _best_cut(parts[-1], started, atom)
                parts.append(parts[-1][cut:])
                del parts[-2][cut:]
                started = 0
            parts[-1].append(atom)
    return [
        "".join((atom.before if at else "") + atom.text for at, atom in enumerate(part)) for part in parts
    ]


def _best_cut(part: list[_Atom], started: int, following: _Atom) -> int:
    """Where to cut a block that runs over the end of ``part``: the last outermost line of its second half.

    So that what belongs to one parameter of a list, or to one statement of an example, stays together.

    Args:
        part: The full part.
        started: Position of the block's first atom in it.
        following: The atom that no longer fits.
    """
    half = _spent(part) / 2
    best, least = len(part), _depth(following)
    for position in range(len(part) - 1, max(started, 1) - 1, -1):
        half -= part[position].tokens
        if half < 0:
            break
        if _depth(part[position]) < least:
            best, least = position, _depth(part[position])
    return best


def _depth(atom: _Atom) -> tuple[bool, bool, int, bool]:
    """How deep inside something larger a cut before this atom would be."""
    text = atom.text.lstrip()
    goes_on = text.startswith(("...", ")", "]", "}"))
    return atom.before == " ", goes_on, len(atom.text) - len(text), not text.startswith(">>>")
