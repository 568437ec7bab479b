"""A converted model gives the vectors and scores of the network that went into the wheel."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tiny_wheels import tiny_wheel, with_packaged

from qembed.errors import CheckFailed
from qembed.models import Encoder, ModelSource
from qembed.models.info import model_words
from qembed.models.packaged.convert import convert
from qembed.models.packaged.known import check_known
from qembed.models.packaged.pins import Known
from qembed.models.weights import config_sha256, weights_sha256


def converted(base: Path, kind: str, **options: bool) -> tuple[Path, object]:
    made = tiny_wheel(base, kind, **options)
    folder = base / "model"
    folder.mkdir()
    convert(made.card, base / f"files-{kind}", folder)
    return folder, made.card


@pytest.mark.parametrize("kind", ["embedder", "reranker", "sparse"])
@pytest.mark.parametrize("per_column", [False, True])
def test_scores_of_the_known_pairs(tmp_path: Path, kind: str, per_column: bool) -> None:
    folder, card = converted(tmp_path, kind, per_column=per_column)
    checked = check_known(card, folder)  # type: ignore[arg-type]
    np.testing.assert_allclose(
        [each.score for each in checked], [each.known.score for each in checked], rtol=1e-5, atol=1e-6
    )
    assert checked[0].score != pytest.approx(checked[1].score, abs=0.01)


@pytest.mark.parametrize("kind", ["embedder", "reranker", "sparse"])
def test_another_score_is_refused(tmp_path: Path, kind: str) -> None:
    folder, card = converted(tmp_path, kind)
    known = card.packaged.known[0]  # type: ignore[attr-defined]
    wrong = Known(known.query, known.text, known.score + 0.02 * max(1, abs(known.score)))
    with pytest.raises(CheckFailed, match=rf"gives {known.score:.4f} for a pair whose score is") as caught:
        check_known(with_packaged(card, known=(wrong,)), folder)  # type: ignore[arg-type]
    assert known.query in str(caught.value.where)


def test_the_card_and_the_model_agree(tmp_path: Path) -> None:
    folder, card = converted(tmp_path, "embedder")
    source = ModelSource("bge-small", card.id, "packaged", folder, None, card)  # type: ignore[attr-defined, arg-type]
    info = Encoder.load(source).info
    assert info.differences == ()
    assert info.query_prompt == "Represent this sentence for searching relevant passages: "
    assert (info.document_prompt, info.max_tokens, info.normalized) == ("", 24, True)
    assert info.weights_note == "int8 weights from tiny-models==1.0, mit"
    words = model_words(dataclasses.asdict(info))
    assert words == f"BAAI/bge-small-en-v1.5 {info.dtype} (int8 weights from tiny-models==1.0, mit)"
    assert model_words({"id": "a/b", "dtype": "fp16"}) == "a/b fp16"


def test_two_conversions_are_the_same_bytes(tmp_path: Path) -> None:
    made = tiny_wheel(tmp_path, "embedder")
    hashes = set()
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        convert(made.card, tmp_path / "files-embedder", folder)
        hashes.add((weights_sha256(folder), config_sha256(folder)))
    assert len(hashes) == 1


def test_a_missing_parameter_is_named(tmp_path: Path) -> None:
    made = tiny_wheel(tmp_path, "sparse")
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "files-sparse" / "model.safetensors"
    tensors = load_file(path)
    del tensors["bert.encoder.layer.1.output.dense.bias"]
    save_file(tensors, path)
    (tmp_path / "model").mkdir()
    with pytest.raises(
        CheckFailed, match=r"bert.encoder.layer.1.output.dense.bias is None, expected \(32,\)"
    ):
        convert(made.card, tmp_path / "files-sparse", tmp_path / "model")
