"""The configuration that embeddings need, what a server describes, and where the two differ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from qembed.errors import DimensionMismatch, Mismatch
from qembed.index.server.configuration import (
    Configuration,
    Dense,
    Difference,
    configuration_of,
    differences,
    does_not_fit,
    table,
    vector_params,
    wanted,
)

COSINE = models.Distance.COSINE
DENSE = st.builds(
    Dense,
    st.sampled_from([384, 768, 3584]),
    st.sampled_from(["Cosine", "Dot", "Euclid"]),
    st.sampled_from(["none", "scalar", "binary"]),
    st.booleans(),
)


def info(vectors: object, **config: object) -> models.CollectionInfo:
    """What a server says of a collection."""
    params = {"vectors": vectors}
    params |= {key: config.pop(key) for key in ("sparse_vectors", "sharding_method") if key in config}
    return models.CollectionInfo.model_validate(
        {
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": 1,
            "payload_schema": {},
            "config": {
                "params": params,
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
                "optimizer_config": {"default_segment_number": 0, "flush_interval_sec": 5},
                **config,
            },
        }
    )


class TestConfigurationOf:
    def test_one_unnamed_vector(self) -> None:
        found = configuration_of(info({"size": 768, "distance": "Cosine"}))
        assert found == Configuration({"": Dense(768, "Cosine", "none", on_disk=False)})

    def test_named_and_sparse_vectors(self) -> None:
        found = configuration_of(
            info(
                {
                    "code": {"size": 768, "distance": "Dot", "on_disk": True, "datatype": "float16"},
                    "late": {
                        "size": 128,
                        "distance": "Cosine",
                        "multivector_config": {"comparator": "max_sim"},
                    },
                },
                sparse_vectors={"bm25": {"modifier": "idf"}, "splade": {}},
                sharding_method="custom",
            )
        )
        assert found.vectors == {
            "code": Dense(768, "Dot", "none", on_disk=True, datatype="float16"),
            "late": Dense(128, "Cosine", "none", on_disk=False, multivector=True),
        }
        assert found.sparse == {"bm25": "idf", "splade": "none"}
        assert found.custom_sharding

    @pytest.mark.parametrize(
        ("said", "quantization"),
        [
            ({"scalar": {"type": "int8"}}, "scalar"),
            ({"binary": {}}, "binary"),
            ({"turbo": {"bits": "bits4"}}, "turbo"),
            ({"product": {"compression": "x16"}}, "product"),
        ],
    )
    def test_quantisation_of_the_vector_wins_over_that_of_the_collection(
        self, said: dict[str, object], quantization: str
    ) -> None:
        of_vector = info({"size": 8, "distance": "Dot", "quantization_config": said})
        of_collection = info({"size": 8, "distance": "Dot"}, quantization_config=said)
        both = info(
            {"size": 8, "distance": "Dot", "quantization_config": said},
            quantization_config={"scalar": {"type": "int8"}},
        )
        for each in (of_vector, of_collection, both):
            assert configuration_of(each).vectors[""].quantization == quantization

    @pytest.mark.skipif(
        "memory" not in models.VectorParams.model_fields, reason="this client drops what it does not know"
    )
    def test_newer_servers_say_memory(self) -> None:
        said = {"size": 8, "distance": "Dot", "on_disk": False, "memory": "cold"}
        assert configuration_of(info(said)).vectors[""].on_disk is True

    def test_no_dense_vector_at_all(self) -> None:
        assert configuration_of(info(None, sparse_vectors={"bm25": {}})).vectors == {}


class TestDifferences:
    def test_what_is_not_asked_for_does_not_differ(self) -> None:
        have = Configuration({"": Dense(384, "Cosine", "binary", on_disk=True)})
        assert differences(wanted(384, "cosine"), have) == ()

    def test_every_row(self) -> None:
        have = Configuration(
            {"": Dense(768, "Euclid", "none", on_disk=False, datatype="uint8", multivector=True)},
            {"bm25": "idf", "splade": "none"},
            custom_sharding=True,
        )
        rows = differences(wanted(3584, "cosine", quantization="scalar", on_disk=True), have)
        assert rows == (
            Difference("dimension", "768", "3,584"),
            Difference("distance", "Euclid", "Cosine"),
            Difference("vectors per point", "several (multivector)", "one"),
            Difference("datatype", "uint8", "float32"),
            Difference("quantisation", "none", "scalar"),
            Difference("vectors kept", "in memory", "on disk"),
            Difference("sparse vectors", "bm25 (idf), splade", "none; points sent again lose them"),
            Difference("sharding", "custom: every point names its shard", "automatic"),
        )

    def test_a_vector_of_another_name_is_compared_all_the_same(self) -> None:
        have = Configuration({"dense": Dense(768, "Cosine")})
        assert differences(wanted(384, "cosine"), have) == (
            Difference("vector", "'dense'", "unnamed"),
            Difference("dimension", "768", "384"),
        )

    def test_points_that_are_sent_again_would_lose_further_vectors(self) -> None:
        have = Configuration({"a": Dense(384, "Cosine"), "b": Dense(768, "Cosine")})
        (row,) = differences(wanted(384, "cosine", vector="a"), have)
        assert row == Difference("further vectors", "'b'", "none; points sent again lose them")
        (row,) = differences(wanted(384, "cosine", vector="c"), have)
        assert row == Difference("vector", "'a', 'b'", "'c'")

    def test_writing_one_vector_leaves_the_others_alone(self) -> None:
        have = Configuration({"a": Dense(384, "Cosine"), "b": Dense(768, "Cosine")}, {"bm25": "idf"})
        assert differences(wanted(384, "cosine", vector="a"), have, alone=False) == ()
        assert differences(wanted(3584, "cosine", vector="c"), have, alone=False) == ()
        (row,) = differences(wanted(3584, "cosine", vector="b"), have, alone=False)
        assert row == Difference("dimension", "768", "3,584")

    @pytest.mark.parametrize("datatype", ["float16", "turbo8"])
    def test_the_owner_chose_how_a_component_is_stored(self, datatype: str) -> None:
        have = Configuration({"": Dense(384, "Cosine", datatype=datatype)})
        assert differences(wanted(384, "cosine"), have) == ()

    @given(DENSE)
    def test_what_was_made_as_wanted_never_differs(self, dense: Dense) -> None:
        want = Configuration({"v": dense})
        assert differences(want, want) == ()

    @given(DENSE, DENSE)
    def test_what_differs_gives_a_row(self, one: Dense, other: Dense) -> None:
        rows = differences(Configuration({"": one}), Configuration({"": other}))
        assert bool(rows) == (one != other)

    @given(DENSE)
    def test_a_server_gives_back_what_it_was_given(self, dense: Dense) -> None:
        described = info(vector_params(dense).model_dump(exclude_none=True, mode="json"))
        assert configuration_of(described).vectors[""] == dense


class TestMessage:
    ROWS = (Difference("dimension", "768", "3,584"), Difference("distance", "Cosine", "Dot"))

    def test_the_table_is_aligned(self) -> None:
        assert table(self.ROWS) == [
            "             collection  upload",
            "  dimension  768         3,584",
            "  distance   Cosine      Dot",
        ]

    def test_kind_and_exit_code(self) -> None:
        error = does_not_fit("docs", self.ROWS, "--migrate collection")
        assert isinstance(error, DimensionMismatch)
        assert error.exit_code == 5
        assert "  dimension  768         3,584" in str(error)
        other = does_not_fit("docs", self.ROWS[1:], "--migrate collection")
        assert type(other) is Mismatch
