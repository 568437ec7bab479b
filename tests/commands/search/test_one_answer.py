"""From a chunk file to an answer: the same for the same filter, whatever the format and wherever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from qdrant_client import models
from qdrant_stub import qdrant_stub

from qembed.commands.embed.embed import EmbedOptions, embed
from qembed.commands.search.search import open_index
from qembed.commands.upload.options import UploadOptions
from qembed.commands.upload.upload import upload
from qembed.errors import Mismatch
from qembed.evaluation.systems.side import SideOptions, open_side
from qembed.index import IndexKind, parse_condition
from qembed.models import EncoderOptions
from qembed.store import FORMATS

CPU = EncoderOptions(device="cpu", precision="fp32")
CHUNKS = [  # as written: what no 64 bits and no float hold, NaN, a key that is empty, MongoDB's types
    '{"text": "a vector", "metadata": {"n": 9007199254740993, "big": 123456789012345678901234567890, '
    '"f": 1e400, "nan": NaN, "": "empty", "created": "2024-01-01", "ratio": 0.30000000000000004, '
    '"price": "1.10"}}',
    '{"text": "a point", "metadata": {"n": 9007199254740992, "big": 18446744073709551615, "Header 1": "I", '
    '"dc:title": "T", "@timestamp": "2024-01-01T12:00:00+02:00", "created": "2023-12-31T23:00:00-05:00"}}',
    '{"text": "an index", "metadata": {"n": 1.0, "say \\"hi\\"": 1, "c:\\\\temp": 2, "a.b": 3, '
    '"a": {"b": 4}, "tags": ["x", ["y"]], "none": null, "created": {"$date": "2024-06-30T00:00:00Z"}}}',
    '{"text": "a chunk", "metadata": {"n": true, "tags": [], "größe 1": "ü", "created": "yesterday"}}',
]
FILTERS = {
    "n=9007199254740993": "0",
    "n>9007199254740992": "0",
    "n>=9007199254740992": "01",
    "n=1": "",
    "n=1.0": "2",
    "n=true": "3",
    "n!=true": "012",
    "big=123456789012345678901234567890": "0",
    "big=18446744073709551615": "1",
    "big=18446744073709551616": "",
    "f=1e400": "0",
    "nan!=0": "0123",
    '""=empty': "0",
    "ratio=0.30000000000000004": "0",
    "ratio=0.3": "0",  # floats compare to 14 digits
    "ratio>0.3": "",
    "price='1.10'": "0",
    "created>=2024-01-01": "012",
    "created<2024-01-01T00:00:01Z": "0",
    "created>2024-01-01T03:59:59Z": "12",
    "created=2024-01-01": "0",
    '"Header 1"=I': "1",
    "dc:title=T": "1",
    "@timestamp<=2024-01-01T10:00:00Z": "1",
    '"say \\"hi\\""=1': "2",
    '"c:\\\\temp"=2': "2",
    '"a.b"=3': "2",
    "a.b=4": "2",
    "tags=x": "2",
    "tags=y": "",
    "tags!=x": "013",
    "none!=1": "0123",
    '"größe 1"=ü': "3",
}


@pytest.fixture(scope="module")
def chunks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chunks") / "kb"
    folder.mkdir()
    (folder / "x.jsonl").write_text("\n".join(CHUNKS), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def server(chunks: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    out = tmp_path_factory.mktemp("out")
    embed(chunks, out, EmbedOptions(model=str(tiny), encoder=CPU))
    with qdrant_stub() as stub:
        upload(out, url=stub.url, collection="kb", options=UploadOptions(sample=4))
        yield f"qdrant://{stub.url.removeprefix('http://')}/kb"


def answers(source: Path | str, model: Path, index: str) -> dict[str, str]:
    opened = open_index(source, model=str(model), options=CPU, index=index)  # type: ignore[arg-type]
    with closing(opened.index):
        found = {text: opened.ask("a point", k=9, where=[parse_condition(text)]) for text in FILTERS}
    return {text: "".join(sorted(hit.chunk_id[-1] for hit in hits)) for text, hits in found.items()}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("index", ["memory", "edge", "exact"])
def test_of_files(chunks: Path, tiny: Path, tmp_path: Path, format: str, index: str) -> None:
    if index == "edge":
        pytest.importorskip("qdrant_edge")
    embed(chunks, tmp_path, EmbedOptions(model=str(tiny), encoder=CPU, format=format))  # type: ignore[arg-type]
    assert answers(tmp_path, tiny, index) == FILTERS


@pytest.mark.parametrize("index", ["auto", "exact"])
def test_of_a_server(server: str, tiny: Path, index: str) -> None:
    """Asked in place, and read into an index."""
    assert answers(server, tiny, index) == FILTERS


keeps_notes = pytest.mark.skipif(
    "metadata" not in models.CollectionConfig.model_fields, reason="qdrant-client before 1.16 keeps no notes"
)


@keeps_notes
@pytest.mark.parametrize("index", ["auto", "exact"])
def test_the_collection_says_which_model_it_was(
    server: str, tiny: Path, tiny_models: Callable[[str], Path], index: Literal["auto", "exact"]
) -> None:
    opened = open_index(server, options=CPU, index=index)
    with closing(opened.index):
        assert opened.encoder.info.id == str(tiny)
    other = str(tiny_models("prompted"))  # of the same dimension
    with pytest.raises(Mismatch, match="is not the model that made these vectors: other weights") as caught:
        open_index(server, model=other, options=CPU, index=index)
    assert server in str(caught.value.where)


@keeps_notes
def test_bench_takes_the_model_of_the_collection(server: str, tiny_models: Callable[[str], Path]) -> None:
    options = SideOptions(server, encoder=CPU)
    queries = {"q": "a point"}
    side = open_side(options, queries, "chunk")
    assert side.encoder is not None
    assert list(side.run["q"]) != []
    with pytest.raises(Mismatch, match="other weights"):
        open_side(replace(options, model=str(tiny_models("prompted"))), queries, "chunk")


@pytest.mark.parametrize("changes", [{"query_prompt": "find: "}, {"query_prompt": ""}, {"truncate_dim": 8}])
@pytest.mark.parametrize("index", ["auto", "exact"])
def test_questions_are_encoded_as_the_manifest_says(
    chunks: Path,
    tiny_models: Callable[[str], Path],
    tmp_path: Path,
    changes: dict[str, Any],
    index: IndexKind,
) -> None:
    """A prompt that is not the model's own, and dimensions that were truncated, are noted by the upload."""
    model = str(tiny_models("prompted"))
    embed(chunks, tmp_path / "out", EmbedOptions(model=model, encoder=replace(CPU, **changes)))
    wanted = open_index(tmp_path / "out", options=CPU)
    with qdrant_stub() as stub:
        upload(tmp_path / "out", url=stub.url, collection="kb", options=UploadOptions(sample=4))
        address = f"qdrant://{stub.url.removeprefix('http://')}/kb"
        for named in (None, model):
            found = open_index(address, model=named, options=CPU, index=index)
            assert found.encoder.info == wanted.encoder.info
            with closing(found.index):
                scores = [hit.score for hit in found.ask("a point")]
            assert scores == pytest.approx([hit.score for hit in wanted.ask("a point")], abs=1e-6)
    wanted.index.close()
