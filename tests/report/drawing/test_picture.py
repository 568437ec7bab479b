"""A picture as it stands in a page: no style, no id, no colour of its own; text of users as it is."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from drawn import marks, texts
from markupsafe import Markup
from stored_benches import HOSTILE

from qembed.report.drawing.picture import INKS, Picture, ink, styled
from qembed.report.drawing.plots import parts


@styled
def drawn(words: str = "name", said: str = "said", query: str | None = None) -> Markup:
    picture = Picture(100)
    picture.words(0, 12, words, "text")
    bar = picture.axes.bar(0.5, 1, 0.2, color=ink("s3"))
    picture.say(said, *bar, *picture.axes.plot([0.5, 0.6], [0.2, 0.9], "o", color=ink("good")), query=query)
    return picture.markup('a "label" <')


def test_nothing_that_the_policy_forbids_and_nothing_that_two_pictures_may_not_share() -> None:
    root = ElementTree.fromstring(drawn())
    assert root.get("aria-label") == 'a "label" <'
    assert {element.tag for element in root.iter()} <= {"svg", "g", "path", "text", "title"}
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not attributes & {"style", "id", "clip-path", "font-family", "font-size"}
    colours = {element.get(name, "") for element in root.iter() for name in ("fill", "stroke")} - {""}
    assert all(re.fullmatch(r"none|var\(--[a-z0-9]+\)", colour) for colour in colours), colours


@pytest.mark.parametrize("text", [*HOSTILE, "$x_1$ \\frac", "日本語の名前", "a\x00b\x1bc"])
def test_text_of_users_never_goes_through_the_library(text: str) -> None:
    """No formula, no missing glyph, no element: a warning of matplotlib would fail this test."""
    picture = drawn(text, said=text, query=text)
    shown = next(words for words in texts(picture) if words[:1] == text.strip()[:1])
    assert "\n" not in shown
    (mark,) = marks(picture)
    assert mark.href.startswith("#q=")
    assert not set("<>\"' ") & set(mark.href)


def test_words_are_cut_to_their_room() -> None:
    long = "x" * 10_000
    (shown,) = (words for words in texts(drawn(long)) if words.startswith("x"))
    assert shown.endswith("…")
    assert 30 < len(shown) < 60
    (wide,) = (words for words in texts(drawn("字" * 100)) if words.startswith("字"))
    assert len(wide) < len(shown)


def test_artists_of_one_mark_are_one_element() -> None:
    (mark,) = marks(drawn(said="3 of 4"))
    assert mark.words == "3 of 4"
    assert mark.inks == ["var(--s3)", "var(--good)", "var(--good)"], "a bar and two points"
    assert drawn().count("tabindex") == 1


def test_the_first_mark_alone_is_on_the_way_of_the_tab_key() -> None:
    row = ("a", [(0.25, "found", 0), (0.5, "missed", 1), (0.25, "cut", 2)])
    assert re.findall('tabindex="([^"]*)"', parts("three", [row])) == ["0", "-1", "-1"]


def test_the_same_figure_is_the_same_text() -> None:
    assert drawn() == drawn()


def test_settings_of_the_user_change_nothing() -> None:
    import matplotlib

    theirs = {"svg.fonttype": "path", "font.size": 30, "lines.linewidth": 9, "lines.markeredgewidth": 5}
    with matplotlib.rc_context({**theirs, "axes.grid": True, "patch.force_edgecolor": True}):
        changed = drawn()
    assert changed == drawn()


def test_every_ink_has_a_colour_in_light_and_dark() -> None:
    from importlib.resources import files

    style = files("qembed.report").joinpath("templates/page.css").read_text(encoding="utf-8")
    light, dark = style.split("@media (prefers-color-scheme: dark)")[:2]
    for name in INKS:
        assert f"--{name}:" in light, name
        assert f"--{name}:" in dark.split("\n}\n")[0], name
