"""What of an eval set cannot be used, or should be looked at: with itself, and against a corpus."""

from __future__ import annotations

from collections.abc import Collection, Set

from qembed.evaluation.eval_sets.beir import qrels_rows, query_lines
from qembed.evaluation.eval_sets.eval_set import EvalSet, judged_anywhere
from qembed.evaluation.eval_sets.findings import finding
from qembed.records import Finding


def check_queries(eval_set: EvalSet) -> list[Finding]:
    """Queries that no split judges, that nothing answers, or that stand twice; in the order of the file.

    The findings of reading the files, ``eval_set.findings``, are not repeated.
    """
    findings: list[Finding] = []
    unanswerable, judged = eval_set.unanswerable, judged_anywhere(eval_set)
    first_of: dict[str, str] = {}
    seen: set[str] = set()
    for line, query_id, text in query_lines(eval_set.queries_file, lambda _: None):
        if query_id in seen:
            continue
        seen.add(query_id)

        def add(kind: str, reason: str, line: int = line) -> None:
            findings.append(finding(kind, eval_set.queries_file, reason, line=line))

        if query_id not in judged:
            add("unjudged-query", f"no split judges query {query_id!r}")
        elif query_id in unanswerable:
            add("unanswerable", f"nothing that was judged answers query {query_id!r}")
        first = first_of.setdefault(" ".join(text.lower().split()), query_id)
        if first != query_id:
            add("same-text", f"query {query_id!r} has the text of query {first!r}")
    if len(unanswerable) == len(eval_set.qrels):
        reason = "every grade is 0: there is nothing that a system could find"
        findings.insert(0, finding("nothing-relevant", eval_set.qrels_file, reason))
    return findings


def check_against(eval_set: EvalSet, chunk_ids: Set[str], page_ids: Set[str]) -> list[Finding]:
    """Judged items that the corpus does not have, row by row; and all of ``check_queries``.

    Args:
        eval_set: What was judged.
        chunk_ids: Ids of the corpus; those that are judged are enough, with one more as an example.
        page_ids: Ids of its pages, ``{subdirectory}/{filename}``; the same holds.

    Returns:
        Findings of ``eval_findings.KINDS``. Where not one judged item is there, a single ``other-corpus``
        stands for all rows.
    """
    known, others = (chunk_ids, page_ids) if eval_set.card.level == "chunk" else (page_ids, chunk_ids)
    wanted = {item for judged in eval_set.qrels.values() for item in judged}
    findings = check_queries(eval_set)
    if wanted.isdisjoint(known):
        reason = _other_corpus(eval_set.card.level, wanted, known, others)
        return [finding("other-corpus", eval_set.qrels_file, reason), *findings]
    missing = []
    if not wanted <= known:
        for row in qrels_rows(eval_set.qrels_file, lambda _: None):
            if row.query_id in eval_set.qrels and row.item_id not in known:
                reason = f"the corpus has no {eval_set.card.level} {row.item_id!r} (query {row.query_id!r})"
                missing.append(finding("unknown-item", eval_set.qrels_file, reason, line=row.line))
    return [*missing, *findings]


def _other_corpus(level: str, wanted: set[str], known: Collection[str], others: Set[str]) -> str:
    if not wanted.isdisjoint(others):
        other = "page" if level == "chunk" else "chunk"
        return f'the judged ids are those of {other}s: write level = "{other}" in card.toml'
    example = min(known, default=None)
    found = f"its {level}s are called like {example!r}" if example else f"it has no {level}s"
    return (
        f"none of the {len(wanted):,} judged {level}s is in the corpus: qrels name {min(wanted)!r}, {found}"
    )
