"""Folders of eval sets for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

HEADER = "query-id\tcorpus-id\tscore"


def eval_folder(
    folder: Path,
    queries: Mapping[str, str] | Sequence[str],
    splits: Mapping[str, Sequence[str]],
    *,
    card: str | None = None,
    corpus: Mapping[str, str] | None = None,
) -> Path:
    """A BEIR folder.

    Args:
        folder: Made if need be.
        queries: Query id -> text; or the lines of ``queries.jsonl`` as they are.
        splits: Split -> rows below the header, columns separated by one space here.
        card: The text of ``card.toml``; no card when None.
        corpus: Chunk id -> text; no ``corpus.jsonl`` when None.
    """
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    lines = list(queries)
    if isinstance(queries, Mapping):
        lines = [json.dumps({"_id": name, "text": text}) for name, text in queries.items()]
    (folder / "queries.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    for split, rows in splits.items():
        text = "\n".join([HEADER, *(row.replace(" ", "\t") for row in rows)])
        (folder / "qrels" / f"{split}.tsv").write_text(f"{text}\n", encoding="utf-8")
    if card is not None:
        (folder / "card.toml").write_text(card, encoding="utf-8")
    if corpus is not None:
        entries = (json.dumps({"_id": name, "title": "", "text": text}) for name, text in corpus.items())
        (folder / "corpus.jsonl").write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8")
    return folder


LAYOUTS = {
    "beir": "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\nq2\td3\t2\n",
    "every field quoted": '"query-id"\t"corpus-id"\t"score"\n"q1"\t"d1"\t"1"\n'
    '"q1"\t"d2"\t"0"\n"q2"\t"d3"\t"2"\n',
    "commas": "query-id,corpus-id,score\nq1,d1,1\nq1,d2,0\nq2,d3,2\n",
    "semicolons": "query-id;corpus-id;score\nq1;d1;1\nq1;d2;0\nq2;d3;2\n",
    "commas and quotes": 'query-id,corpus-id,score\n"q1","d1",1\n"q1","d2",0\n"q2","d3",2\n',
    "blanks at the ends": "query-id \tcorpus-id\tscore \nq1 \td1 \t1 \nq1\t d2\t0\nq2\td3\t 2 \n",
    "other names": "query_id\tdoc_id\trelevancy\nq1\td1\t1\nq1\td2\t0\nq2\td3\t2\n",
    "other order": "corpus-id\tquery-id\tscore\nd1\tq1\t1\nd2\tq1\t0\nd3\tq2\t2\n",
    "more columns": "query_id,doc_id,relevance,iteration\nq1,d1,1,0\nq1,d2,0,0\nq2,d3,2,0\n",
    "json lines": '{"query-id": "q1", "corpus-id": "d1", "score": 1.0}\n'
    '{"query-id": "q1", "corpus-id": "d2", "score": 0}\n{"query-id": "q2", "corpus-id": "d3", "score": 2}\n',
    "trec": "q1 0 d1 1\nq1 0 d2 0\nq2 0 d3 2\n",
    "trec with tabs": "q1\t0\td1\t1\nq1\t0\td2\t0\nq2\t0\td3\t2\n",
    "no header": "q1\td1\t1\nq1\td2\t0\nq2\td3\t2\n",
    "no header, commas": "q1,d1,1\nq1,d2,0\nq2,d3,2\n",
}
"""One eval set's judgements as different tools write them."""

IN_ONE_PIECE = {
    "a list": '[{"query_id": "q1", "doc_id": "d1", "relevance": 1},\n'
    ' {"query_id": "q1", "doc_id": "d2", "relevance": 0},\n'
    ' {"query_id": "q2", "doc_id": "d3", "relevance": 2}]\n',
    "ranx": '{"q1": {"d1": 1, "d2": 0},\n "q2": {"d3": 2}}\n',
}
"""The same as one JSON document, to which no line can be added."""
