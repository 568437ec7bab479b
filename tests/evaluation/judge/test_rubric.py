"""What is asked, and what counts as an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qembed.evaluation.judge.rubric import MAX_CHARACTERS, RUBRIC, estimated_tokens, grade_of, messages


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ("2", 2),
        (" 0\n", 0),
        ("1.", 1),
        ("**2**", 2),
        ("Grade: 2", None),
        ("10", None),
        ("3", None),
        ("", None),
    ],
)
def test_grades(answer: str, grade: int | None) -> None:
    assert grade_of(answer) == grade


@given(st.text())
def test_any_answer_is_a_grade_or_none(answer: str) -> None:
    assert grade_of(answer) in (0, 1, 2, None)


def test_the_question() -> None:
    system, user = messages("how?", "so " * MAX_CHARACTERS)
    assert (system["role"], system["content"]) == ("system", RUBRIC)
    assert user["content"].startswith("QUERY:\nhow?\n\nRESULT:\nso so")
    assert len(user["content"]) < MAX_CHARACTERS + 40
    assert estimated_tokens("q", "x" * 400) > 100
