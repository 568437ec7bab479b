"""The plan of an upload: what it decides, and what it never does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.errors import DimensionMismatch, Mismatch, QembedError, UsageError
from qembed.index.server.configuration import Configuration, Dense, differences, wanted
from qembed.index.server.fields import FieldIndex
from qembed.index.server.migration import Plan, Wish, make_plan, names_of
from qembed.index.server.situation import Found, Situation
from qembed.index.server.steps import steps

OLD = Found(Configuration({"": Dense(768, "Cosine")}), points=8108)
FITS = Found(Configuration({"": Dense(3584, "Cosine")}), points=8108)
WISH = Wish("docs", wanted(3584, "cosine"), points=8108, model="nomic-ai/nomic-embed-code")
MADE = {"made_by": "0.1.0"}


def server(
    aliases: dict[str, str] | None = None, version: tuple[int, int] = (1, 18), **found: Found
) -> Situation:
    named = {name.replace("_", "-"): each for name, each in found.items()}
    return Situation("http://host:6333", version, frozenset(named), aliases or {}, named)


class TestAsNamed:
    def test_nothing_there(self) -> None:
        plan = make_plan(WISH, server())
        assert (plan.target, plan.create, plan.hold, plan.alias) == ("docs", True, True, None)

    def test_what_fits_is_filled_and_left_as_it_is(self) -> None:
        plan = make_plan(replace(WISH, model=None), server(docs=FITS))
        assert (plan.target, plan.create, plan.hold, plan.remarks) == ("docs", False, False, ())

    def test_an_alias_stands_for_its_collection(self) -> None:
        plan = make_plan(WISH, server({"docs": "a"}, a=FITS))
        assert (plan.target, plan.create, plan.alias) == ("a", False, None)

    def test_a_wrong_dimension(self) -> None:
        with pytest.raises(DimensionMismatch) as caught:
            make_plan(WISH, server(docs=OLD))
        said = str(caught.value)
        assert "  dimension  768         3,584" in said
        assert "--migrate collection loads 'docs-3584d' beside it" in said
        assert "--migrate vector --vector NAME" in said

    def test_an_old_server_is_not_offered_a_vector(self) -> None:
        with pytest.raises(DimensionMismatch) as caught:
            make_plan(WISH, server(version=(1, 17), docs=OLD))
        assert "--migrate vector" not in str(caught.value)

    def test_another_model_of_the_same_dimension(self) -> None:
        theirs = replace(FITS, notes={"model.": "another/model"})
        with pytest.raises(Mismatch, match="model") as caught:
            make_plan(WISH, server(docs=theirs))
        assert "another/model" in str(caught.value)
        assert make_plan(WISH, server(docs=replace(theirs, points=0))).target == "docs"

    def test_the_weights_decide_not_the_name(self) -> None:
        wish = replace(WISH, weights="a" * 64)
        known = {"model.": "/a/folder", "weights.": "a" * 64}
        assert make_plan(wish, server(docs=replace(FITS, notes=known))).remarks == ()
        known = {"model.": WISH.model, "weights.": "b" * 64}
        with pytest.raises(Mismatch) as caught:
            make_plan(wish, server(docs=replace(FITS, notes=known)))
        assert f"{WISH.model} (weights bbbbbbbb)  {WISH.model} (weights aaaaaaaa)" in str(caught.value)

    def test_embeddings_of_an_unknown_model_are_said(self) -> None:
        plan = make_plan(replace(WISH, model=None), server(docs=replace(FITS, notes={"model.": "a/model"})))
        (remark,) = plan.remarks
        assert "no manifest says which model" in remark
        assert "a/model" in remark

    def test_an_unknown_model_is_said(self) -> None:
        (remark,) = make_plan(WISH, server(docs=FITS)).remarks
        assert "which model made the 8,108 vectors" in remark
        known = replace(FITS, notes={"model.": WISH.model})
        assert make_plan(WISH, server(docs=known)).remarks == ()

    @pytest.mark.parametrize(
        ("notes", "points", "hold"),
        [
            ({}, 0, False),
            (MADE, 0, True),
            (MADE, 10, False),
            (MADE | {"indexing_threshold": 20_000}, 10, True),
        ],
    )
    def test_indexing_is_held_back_where_a_killed_upload_made_it(
        self, notes: dict[str, object], points: int, hold: bool
    ) -> None:
        found = replace(FITS, notes=notes, points=points)
        assert make_plan(WISH, server(docs=found)).hold is hold
        assert make_plan(replace(WISH, hold=True), server(docs=found)).hold

    def test_only_an_option_differs(self) -> None:
        wish = replace(WISH, want=wanted(3584, "cosine", quantization="binary"))
        with pytest.raises(Mismatch, match="without --quantization"):
            make_plan(wish, server(docs=FITS))


class TestIntoNewCollection:
    WISH = replace(WISH, migrate="collection")

    def test_behind_an_alias_the_alias_moves(self) -> None:
        plan = make_plan(self.WISH, server({"docs": "docs-768d"}, docs_768d=OLD))
        assert plan == Plan(
            self.WISH,
            "docs-3584d",
            create=True,
            hold=True,
            replaces="docs-768d",
            replaced_points=8108,
            alias="docs",
            alias_before="docs-768d",
            later="qembed upload --url http://host:6333 --alias docs --drop-old",
            back="qembed upload --url http://host:6333 --alias docs --rollback",
        )

    def test_the_same_command_after_the_alias_has_moved(self) -> None:
        new = replace(FITS, notes=MADE | {"replaces": "docs-768d", "model.": WISH.model})
        there = server({"docs": "docs-3584d"}, docs_768d=OLD, docs_3584d=new)
        plan = make_plan(self.WISH, there)
        assert (plan.target, plan.create, plan.replaces) == ("docs-3584d", False, "docs-768d")
        assert (plan.alias, plan.alias_before) == ("docs", "docs-3584d")

    def test_the_same_command_after_a_kill(self) -> None:
        new = replace(FITS, points=10, notes=MADE | {"replaces": "docs", "indexing_threshold": 1})
        plan = make_plan(self.WISH, server(docs=OLD, docs_3584d=new))
        assert (plan.target, plan.create, plan.hold) == ("docs-3584d", False, True)

    def test_a_collection_that_no_migration_made_is_left_alone(self) -> None:
        with pytest.raises(UsageError, match="no migration of 'docs' made it"):
            make_plan(self.WISH, server(docs=OLD, docs_3584d=FITS))
        with pytest.raises(DimensionMismatch, match="768"):
            make_plan(self.WISH, server(docs=OLD, docs_3584d=OLD))
        plan = make_plan(replace(self.WISH, into="fresh"), server(docs=OLD, docs_3584d=FITS))
        assert (plan.target, plan.create) == ("fresh", True)

    def test_the_old_one_has_the_name_that_applications_use(self) -> None:
        plan = make_plan(self.WISH, server(docs=OLD))
        assert plan.alias is None
        (remark,) = plan.remarks
        assert "no alias can have its name" in remark
        assert plan.later == (
            "qembed upload --url http://host:6333 --collection docs-3584d --alias docs --drop-old"
        )

    def test_an_alias_that_is_not_named_is_not_moved(self) -> None:
        plan = make_plan(self.WISH, server({"live": "docs"}, docs=OLD))
        assert plan.alias is None
        assert "--alias live moves that name" in plan.remarks[0]

    def test_the_name_of_a_collection_as_alias(self) -> None:
        with pytest.raises(UsageError, match="'docs' is a collection"):
            make_plan(replace(self.WISH, alias="docs"), server(docs=OLD))

    def test_its_own_name_as_alias(self) -> None:
        with pytest.raises(UsageError, match="is a collection"):
            make_plan(replace(WISH, alias="docs"), server())

    @pytest.mark.parametrize(
        ("there", "into", "words"),
        [
            (server(), None, "no collection 'docs'"),
            (server({"x": "docs"}, docs=OLD), "x", "is an alias"),
            (server(docs=OLD), "docs", "is the old collection"),
        ],
    )
    def test_contradictions(self, there: Situation, into: str | None, words: str) -> None:
        with pytest.raises(UsageError, match=words):
            make_plan(replace(self.WISH, into=into), there)


class TestIntoVector:
    WISH = replace(WISH, want=wanted(3584, "cosine", vector="code"), migrate="vector")

    def test_added_and_filled(self) -> None:
        plan = make_plan(self.WISH, server(docs=OLD))
        assert (plan.target, plan.create, plan.add_vector, plan.only_vector) == ("docs", False, True, True)
        assert not plan.hold
        assert plan.replaces is None

    def test_the_same_command_again(self) -> None:
        both = replace(
            OLD, configuration=Configuration({"": Dense(768, "Cosine"), "code": Dense(3584, "Cosine")})
        )
        plan = make_plan(self.WISH, server(docs=both))
        assert (plan.add_vector, plan.only_vector) == (False, True)
        assert make_plan(self.WISH, server(version=(1, 15), docs=both)).only_vector

    def test_an_older_server(self) -> None:
        with pytest.raises(UsageError, match=r"1\.17; from 1\.18 on") as caught:
            make_plan(self.WISH, server(version=(1, 17), docs=OLD))
        assert "--migrate collection" in str(caught.value)

    def test_a_vector_of_that_name_with_another_dimension(self) -> None:
        other = replace(OLD, configuration=Configuration({"code": Dense(768, "Cosine")}))
        with pytest.raises(DimensionMismatch):
            make_plan(self.WISH, server(docs=other))

    def test_the_collection_configures_what_is_added(self) -> None:
        wish = replace(
            self.WISH, want=wanted(3584, "cosine", vector="code", quantization="binary", on_disk=True)
        )
        with pytest.raises(Mismatch, match="as the collection has it"):
            make_plan(wish, server(docs=OLD))

    @pytest.mark.parametrize(
        ("wish", "there", "words"),
        [
            (WISH, server(), "no collection"),
            (replace(WISH, want=wanted(3584, "cosine")), server(docs=OLD), "needs a name"),
            (
                WISH,
                server(docs=replace(OLD, configuration=Configuration({}, {"code": "idf"}))),
                "is a sparse vector",
            ),
        ],
    )
    def test_contradictions(self, wish: Wish, there: Situation, words: str) -> None:
        with pytest.raises(UsageError, match=words):
            make_plan(wish, there)


NAMES = ["docs", "docs-8d", "live", "x"]
DENSE = st.builds(Dense, st.sampled_from([8, 16]), st.sampled_from(["Cosine", "Dot"]))
FOUND = st.builds(
    Found,
    st.builds(
        Configuration,
        st.dictionaries(st.sampled_from(["", "code"]), DENSE, max_size=2),
        st.sampled_from([{}, {"bm25": "idf"}]),
        st.booleans(),
    ),
    st.sampled_from([0, 5]),
    st.dictionaries(st.sampled_from(["made_by", "replaces", "model.", "model.code"]), st.sampled_from(NAMES)),
)


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    found = draw(st.dictionaries(st.sampled_from(NAMES), FOUND))
    free = [name for name in NAMES if name not in found]
    aliases = {}
    if found and free:
        aliases = draw(st.dictionaries(st.sampled_from(free), st.sampled_from(sorted(found))))
    return Situation("u", draw(st.sampled_from([(1, 15), (1, 18)])), frozenset(found), aliases, found)


@given(
    situations(),
    st.builds(
        Wish,
        st.sampled_from(NAMES),
        st.builds(wanted, st.just(8), st.just("cosine"), vector=st.sampled_from(["", "code"])),
        st.just(5),
        st.sampled_from([None, "x"]),
        st.sampled_from([None, "collection", "vector"]),
        st.sampled_from([None, "x"]),
        st.sampled_from([None, *NAMES]),
    ),
)
def test_whatever_is_there_a_plan_harms_nothing(there: Situation, wish: Wish) -> None:
    try:
        plan = make_plan(wish, there)
    except QembedError as error:
        assert error.exit_code in (2, 5)  # noqa: PT017  # either is right
        return
    assert plan.create == (plan.target not in there.names)
    assert plan.target not in there.aliases
    assert plan.replaces != plan.target
    assert plan.alias not in there.names
    assert steps(plan)
    if not plan.create:
        here = there.found[plan.target]
        assert plan.add_vector or not differences(wish.want, here.configuration, alone=not plan.only_vector)
        if wish.model and here.points:
            assert here.notes.get(f"model.{wish.vector}") in (None, wish.model)
    if plan.alias and wish.alias is None:
        assert plan.alias == wish.collection
        assert wish.migrate == "collection"


def test_names_that_a_plan_looks_at() -> None:
    assert names_of(WISH) == ["docs", "docs-3584d"]
    assert names_of(replace(WISH, into="new", alias="live")) == ["docs", "new", "live"]


class TestSteps:
    def test_of_a_migration_behind_an_alias(self) -> None:
        wish = replace(
            WISH, migrate="collection", want=wanted(3584, "cosine", quantization="scalar", on_disk=True)
        )
        plan = make_plan(wish, server({"docs": "docs-768d"}, docs_768d=OLD))
        assert steps(plan, [FieldIndex("kind", "keyword")]) == [
            (
                "create",
                "collection docs-3584d: vector of 3,584 dimensions, Cosine, quantisation scalar, on disk",
            ),
            ("index", "payload fields kind (keyword)"),
            ("hold", "indexing waits until the points are there"),
            ("send", "8,108 points into docs-3584d"),
            ("restore", "indexing begins"),
            ("check", "status green, exact count, a sample read back and compared"),
            ("alias", "docs: docs-768d -> docs-3584d"),
            ("keep", "docs-768d stays as it is, 8,108 points"),
        ]

    def test_of_a_new_vector(self) -> None:
        plan = make_plan(TestIntoVector.WISH, server(docs=OLD))
        assert steps(plan)[:2] == [
            ("add vector", "'code' in docs: 3,584 dimensions, Cosine"),
            ("send", "vector 'code' of 8,108 points; other vectors and payloads stay as they are"),
        ]

    def test_of_an_alias_that_is_there_already(self) -> None:
        plan = make_plan(replace(WISH, alias="live"), server({"live": "docs"}, docs=FITS))
        assert ("alias", "live: stays at docs") in steps(plan)
        plan = make_plan(replace(WISH, alias="live"), server(docs=FITS))
        assert ("alias", "live: (new) -> docs") in steps(plan)
