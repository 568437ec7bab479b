"""Reading packages: which objects are public, under which path, and what their entries say."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from qembed.corpus.package.entry import Entry
from qembed.corpus.package.read import PackageSource, read_package
from qembed.errors import UsageError
from qembed.records import Finding

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write files of fake packages to a folder on sys.path; they must never be imported."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def to(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = site / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text), encoding="utf-8")
        return site

    return to


def entries(name: str, **options: object) -> dict[str, Entry]:
    package = read_package(name, **options)  # type: ignore[arg-type]
    assert len({entry.name for entry in package.entries}) == len(package.entries)
    return {entry.name: entry for entry in package.entries}


class TestPaths:
    def test_a_reexport_gives_the_shortest_path_once(self, write: Write) -> None:
        write(
            {
                "fakepkg/__init__.py": "from .core import Client\nfrom ._hidden import helper",
                "fakepkg/core.py": """
                    class Client:
                        '''A client.'''
                        def ask(self, text: str = 'x') -> int:
                            '''Ask.'''
                    def other():
                        '''Other.'''
                """,
                "fakepkg/_hidden.py": "def helper(a):\n    '''Help.'''\ndef unseen():\n    '''No.'''",
            }
        )
        found = entries("fakepkg")
        assert list(found) == ["fakepkg.Client", "fakepkg.Client.ask", "fakepkg.core.other", "fakepkg.helper"]
        ask = found["fakepkg.Client.ask"]
        assert ask == Entry(
            name="fakepkg.Client.ask",
            path="fakepkg.Client.ask",
            module="fakepkg",
            kind="method",
            title="fakepkg.Client.ask(text: str = 'x') -> int",
            text="Ask.",
            source_file="fakepkg/core.py",
            line=4,
        )
        assert found["fakepkg.core.other"].module == "fakepkg.core"

    def test_all_decides(self, write: Write) -> None:
        write(
            {
                "fakepkg/__init__.py": "__all__ = ['a', 'gone']\nfrom .m import a, b\ndef c():\n    'C.'",
                "fakepkg/m.py": "__all__ = ['a']\ndef a():\n    'A.'\ndef b():\n    'B.'",
            }
        )
        findings: list[Finding] = []
        assert list(entries("fakepkg", on_finding=findings.append)) == ["fakepkg.a"]
        assert [(finding.kind, finding.place.path) for finding in findings] == [("unread-names", "fakepkg")]
        assert "1 public names are compiled or made at run time: gone" in findings[0].reason

    def test_a_submodule_does_not_hide_a_function_of_its_name(self, write: Write) -> None:
        write(
            {
                "fakepkg/__init__.py": "from .meta import run",
                "fakepkg/meta/__init__.py": "from .run import run",
                "fakepkg/meta/run.py": "'The module.'\ndef run(x):\n    'Run.'",
            }
        )
        found = entries("fakepkg")
        assert {name: entry.kind for name, entry in found.items()} == {
            "fakepkg.run": "function",
            "fakepkg.meta.run": "module",
        }

    def test_two_objects_of_one_path_get_two_names(self, write: Write) -> None:
        write(
            {"fakepkg/__init__.py": "from .go import go", "fakepkg/go.py": "'Module.'\ndef go():\n    'Go.'"}
        )
        found = entries("fakepkg")
        assert {name: (entry.path, entry.kind) for name, entry in found.items()} == {
            "fakepkg.go": ("fakepkg.go", "function"),
            "fakepkg.go~2": ("fakepkg.go", "module"),
        }

    def test_helpers_imported_by_a_plain_module_are_not_its_own(self, write: Write) -> None:
        write(
            {
                "fakepkg/__init__.py": "",
                "fakepkg/_util.py": "def helper():\n    'H.'\ndef kept():\n    'K.'\ndef star():\n    'S.'",
                "fakepkg/a.py": "from ._util import helper\nfrom ._util import kept as kept",
                "fakepkg/b.py": "from ._util2 import *",
                "fakepkg/_util2.py": "__all__ = ['star']\nfrom ._util import star",
            }
        )
        assert list(entries("fakepkg")) == ["fakepkg.a.kept", "fakepkg.b.star"]

    def test_type_checking_imports_count_only_where_loading_is_lazy(self, write: Write) -> None:
        body = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ._m import f\n"
        module = "def f():\n    'F.'\nclass C:\n    'C.'"
        write({"eagerpkg/__init__.py": body + "from ._m import C", "eagerpkg/_m.py": module})
        write({"lazypkg/__init__.py": body + "def __getattr__(name): ...", "lazypkg/_m.py": module})
        assert list(entries("eagerpkg")) == ["eagerpkg.C"]
        assert list(entries("lazypkg")) == ["lazypkg.f"]

    def test_other_packages_tests_and_vendored_code_are_left_out(self, write: Write) -> None:
        documented = "def f():\n    'F.'"
        write(
            {
                "fakepkg/__init__.py": "import json\nfrom json import dumps\nfrom os import *\n" + documented,
                **{
                    f"fakepkg/{name}": documented
                    for name in (
                        "tests/__init__.py",
                        "conftest.py",
                        "test_a.py",
                        "_vendor/__init__.py",
                        "vendored.py",
                    )
                },
                "fakepkg/testing.py": documented,
            }
        )
        assert list(entries("fakepkg")) == ["fakepkg.f", "fakepkg.testing.f"]

    def test_inherited_members_stay_with_their_class(self, write: Write) -> None:
        write(
            {
                "fakepkg/__init__.py": """
                    from ._base import _Base
                    class Shown:
                        'Shown.'
                        def own(self):
                            'Own.'
                    class Child(Shown, _Base):
                        'Child.'
                        def over(self): ...
                    class Able(Child):
                        'Comes first in the alphabet, but Child is nearer.'
                """,
                "fakepkg/_base.py": "class _Base:\n def hid(self):\n  'Hid.'\n def over(self):\n  'Over.'",
            }
        )
        names = [name for name, entry in entries("fakepkg").items() if entry.kind == "method"]
        assert names == ["fakepkg.Child.hid", "fakepkg.Shown.own"]

    def test_exclude_makes_a_module_private(self, write: Write) -> None:
        write(
            {
                "fakepkg/__init__.py": "from .core.frame import Frame",
                "fakepkg/core/__init__.py": "",
                "fakepkg/core/frame.py": """
                    class Base:
                        def head(self):
                            'Head.'
                    class Frame(Base):
                        'Frame.'
                    def inner():
                        'Inner.'
                """,
            }
        )
        assert "fakepkg.core.frame.Base.head" in entries("fakepkg")
        assert list(entries("fakepkg", exclude=["fakepkg.core"])) == ["fakepkg.Frame", "fakepkg.Frame.head"]

    def test_only_a_package_gives_a_private_module_a_public_name(self, write: Write) -> None:
        write(
            {
                "fakepkg/__init__.py": "from . import _impl as impl\nfrom .shown import sub as other",
                "fakepkg/_impl.py": "def f():\n    'F.'",
                "fakepkg/_more.py": "def g():\n    'G.'",
                "fakepkg/shown/__init__.py": "",
                "fakepkg/shown/sub.py": "def h():\n    'H.'",
                "fakepkg/plain.py": "from fakepkg import _more as more\nfrom fakepkg.shown import sub as sub",
            }
        )
        assert list(entries("fakepkg")) == ["fakepkg.impl.f", "fakepkg.shown.sub.h"]
        assert list(entries("fakepkg", exclude=["fakepkg.shown"])) == ["fakepkg.impl.f"]

    def test_aliases_that_run_in_a_circle_end(self, write: Write) -> None:
        write(
            {
                "fakepkg/__init__.py": "from .a import x\ndef f():\n    'F.'",
                "fakepkg/a.py": "from .b import x",
                "fakepkg/b.py": "from .a import x",
            }
        )
        assert list(entries("fakepkg")) == ["fakepkg.f"]


class TestEntries:
    def one(self, write: Write, source: str, name: str, **options: object) -> Entry:
        write({"onemod.py": source})
        return entries("onemod", **options)[f"onemod.{name}"]

    def test_init_is_part_of_its_class(self, write: Write) -> None:
        source = """
            class C:
                '''What it is.'''
                def __init__(self, a: int, *, b=None):
                    '''How to make one.'''
        """
        entry = self.one(write, source, "C")
        assert entry.title == "onemod.C(a: int, *, b=None)"
        assert entry.text == "What it is.\n\nHow to make one."
        assert list(entries("onemod")) == ["onemod.C"]

    def test_an_inherited_init_gives_the_signature(self, write: Write) -> None:
        source = "class B:\n    def __init__(self, a): ...\nclass C(B):\n    'C.'"
        assert self.one(write, source, "C").title == "onemod.C(a)"

    def test_pydantic_fields(self, write: Write) -> None:
        source = """
            from pydantic import BaseModel, Field
            class Base(BaseModel):
                a: int = Field(..., description="The 'a'.")
            class M(Base):
                'A model.'
                b: str = Field(default=None, description="The "
                                                         "b.")
                c: float = 0.5
        """
        entry = self.one(write, source, "M")
        assert entry.title == "onemod.M(a: int, b: str = None, c: float = 0.5)"
        assert entry.text == "A model.\n\na: The 'a'.\nb: The b."

    def test_property_with_setter_is_one_entry(self, write: Write) -> None:
        source = """
            class C:
                @property
                def p(self) -> int:
                    'Get.'
                @p.setter
                def p(self, value: int) -> None:
                    'Set.'
        """
        entry = self.one(write, source, "C.p")
        assert (entry.kind, entry.title, entry.text) == ("property", "onemod.C.p -> int", "Get.")

    def test_overloads_are_one_entry(self, write: Write) -> None:
        source = """
            from typing import overload
            @overload
            def f(a: int) -> int: ...
            @overload
            def f(a: str, b: str) -> str: ...
            def f(*args, **kwargs):
                'F.'
        """
        assert self.one(write, source, "f").title == "onemod.f(a: str, b: str) -> str"

    def test_a_documented_attribute(self, write: Write) -> None:
        entry = self.one(write, "LIMIT: int = 3\n'''The limit.'''\nOTHER = 4", "LIMIT")
        assert (entry.kind, entry.title, entry.line) == ("attribute", "onemod.LIMIT: int = 3", 1)

    def test_long_values_are_cut_and_titles_are_one_line(self, write: Write) -> None:
        entry = self.one(write, f"def f(a={'1' * 500}, b='''x\n  y'''):\n    'F.'", "f")
        assert len(entry.title) < 200
        assert "\n" not in entry.title
        assert "111 ..." in entry.title

    def test_text_is_cleaned(self, write: Write) -> None:
        source = (
            'def f():\n    """One.  \n\n\n\n    Two\\b \\ud800.\n    ----------\n    a = "-----"\n    """'
        )
        assert self.one(write, source, "f").text == 'One.\n\nTwo \N{REPLACEMENT CHARACTER}.\n---\na = "-----"'

    def test_undocumented_ones_come_only_when_asked_for(self, write: Write) -> None:
        source = "def f(a): ...\nclass C:\n    def m(self): ...\n    _x = 1\nVALUE = 1"
        write({"onemod.py": source})
        assert entries("onemod") == {}
        found = entries("onemod", undocumented=True)
        assert list(found) == ["onemod.C", "onemod.C.m", "onemod.f"]
        assert found["onemod.f"].text == ""

    def test_underscore_names_are_left_out(self, write: Write) -> None:
        source = """
            def _f():
                'F.'
            class C:
                'C.'
                def _m(self):
                    'M.'
                def __call__(self):
                    'Call.'
        """
        write({"onemod.py": source})
        assert list(entries("onemod")) == ["onemod.C"]


class TestPackages:
    def test_no_code_runs(self, write: Write) -> None:
        write({"fakepkg/__init__.py": "raise SystemExit('executed')\ndef f():\n    'F.'"})
        assert list(entries("fakepkg")) == ["fakepkg.f"]
        assert "fakepkg" not in sys.modules

    def test_a_namespace_package(self, write: Write) -> None:
        write({"nspkg/part/__init__.py": "def f():\n    'F.'"})
        entry = entries("nspkg")["nspkg.part.f"]
        assert entry.source_file == "nspkg/part/__init__.py"

    def test_stubs_stand_for_compiled_modules(self, write: Write) -> None:
        site = write(
            {
                "fakepkg/__init__.py": "from .fast import quick",
                "fakepkg/fast.pyi": "def quick(a: int) -> int:\n    'Quick.'",
            }
        )
        (site / "fakepkg/fast.cpython-311-x86_64-linux-gnu.so").write_bytes(b"\x7fELF")
        (site / "fakepkg/bare.cpython-311-x86_64-linux-gnu.so").write_bytes(b"\x7fELF")
        (site / "fakepkg/lib").mkdir()
        (site / "fakepkg/lib/libfast.so").write_bytes(b"\x7fELF")
        findings: list[Finding] = []
        found = entries("fakepkg", on_finding=findings.append)
        assert found["fakepkg.quick"].source_file == "fakepkg/fast.pyi"
        assert [finding.kind for finding in findings] == ["compiled-module"]
        assert findings[0].place.path == "fakepkg/bare.cpython-311-x86_64-linux-gnu.so"

    def test_overloads_of_a_stub_are_one_entry(self, write: Write) -> None:
        stub = """
            from typing import overload
            @overload
            def add(a: int) -> int: ...
            @overload
            def add(a: int, b: str) -> int:
                'Add.'
            class T:
                @overload
                def sub(self, a: int) -> int:
                    'Sub.'
                @overload
                def sub(self, a: str) -> int: ...
        """
        write(
            {
                "fakepkg/__init__.py": """
                    from ._C import *
                    class U(T):
                        'A public one.'
                    __all__ = ['U']
                    for name in dir(_C):
                        __all__.append(name)
                """,
                "fakepkg/_C.pyi": stub,
            }
        )
        found = entries("fakepkg")
        assert list(found) == ["fakepkg.U", "fakepkg.U.sub", "fakepkg.add"]
        assert found["fakepkg.add"].title == "fakepkg.add(a: int, b: str) -> int"
        assert found["fakepkg.U.sub"].title == "fakepkg.U.sub(a: int) -> int"

    def test_a_module_that_does_not_parse_is_a_finding(
        self, write: Write, capfd: pytest.CaptureFixture[str]
    ) -> None:
        site = write({"fakepkg/__init__.py": "def f():\n    'F.'", "fakepkg/old.py": "x = 1\nprint 'hello'"})
        (site / "fakepkg/latin.py").write_bytes(b"# caf\xe9\n")
        findings: list[Finding] = []
        assert list(entries("fakepkg", on_finding=findings.append)) == ["fakepkg.f"]
        assert [(finding.kind, str(finding.place), finding.lost) for finding in findings] == [
            ("unparsable-module", "fakepkg/latin.py", "file"),
            ("unparsable-module", "fakepkg/old.py, line 2", "file"),
        ]
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize(
        ("name", "message", "remedy"),
        [
            ("no_such_package_here", "no package 'no_such_package_here'", "pip install no_such_package_here"),
            ("qdrant-client", "name of a distribution", "from-package qdrant_client"),
            ("click.core", "not a top-level package", "'click'"),
            ("_queue", "compiled", "leave it out"),
        ],
    )
    def test_what_cannot_be_read(self, name: str, message: str, remedy: str) -> None:
        with pytest.raises(UsageError) as caught:
            read_package(name)
        assert message in caught.value.message
        assert remedy in str(caught.value.remedy)

    def test_a_package_whose_first_file_does_not_parse(
        self, write: Write, caplog: pytest.LogCaptureFixture
    ) -> None:
        write({"brokenpkg/__init__.py": "def ("})
        with pytest.raises(UsageError, match="cannot be read"):
            read_package("brokenpkg")
        assert caplog.records == []

    @pytest.mark.parametrize("name", ["json", "dataclasses"])
    def test_the_standard_library_has_pythons_version(self, name: str) -> None:
        assert read_package(name).version == ".".join(map(str, sys.version_info[:3]))


@pytest.fixture(scope="module")
def click_package() -> PackageSource:
    return read_package("click")


class TestClick:
    def test_well_known_names(self, click_package: PackageSource) -> None:
        found = {entry.name: entry for entry in click_package.entries}
        assert {"click.command", "click.Context.invoke", "click.testing.CliRunner"} <= found.keys()
        assert not any(name.startswith(("click.core.Command", "click._")) for name in found)
        assert found["click.echo"].title.startswith("click.echo(message: ")
        assert found["click.echo"].source_file == "click/utils.py"

    def test_reading_twice_gives_the_same(self, click_package: PackageSource) -> None:
        assert read_package("click").entries == click_package.entries
