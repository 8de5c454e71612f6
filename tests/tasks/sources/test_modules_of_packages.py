"""Which modules are read, known by what, and where their text ends, rule by rule."""

import ast
import base64
import gc
import hashlib
from pathlib import Path

import pytest

from tasks.config.corpus import DocstringsSource
from tasks.documents import read_documents
from tasks.engine.units import UnitReport, UnitWork
from tasks.sources import docstrings, installed_modules
from tasks.sources.docstrings import GROUP_SOURCE_BYTES, GROUP_TEXT_BYTES, plan_groups
from tasks.sources.installed_modules import ModuleFile

DEEP = '''
async def a():
    """Of a."""
try:
    pass
except ValueError:
    def b():
        """Of b."""
else:
    class C:
        """Of C."""
finally:
    if x:
        def d():
            """Of d."""
    else:
        def e():
            """Of e."""
    for y in z:
        with y:
            while y:
                def f():
                    """Of f."""
'''


def module(folder: Path, name: str, text: str) -> ModuleFile:
    code = f'"""{text}"""'.encode()
    (folder / name).write_bytes(code)
    return ModuleFile("p", name, hashlib.sha256(code).hexdigest(), len(code), str(folder / name))


def read(folder: Path, modules: list[ModuleFile], least: int = 1, most: int = 10**6) -> UnitReport:
    return docstrings.read_docstrings(
        UnitWork("u", folder),
        modules=modules,
        as_prose=False,
        min_characters=least,
        max_bytes=most,
    )


def test_every_block_of_code_is_looked_into() -> None:
    found = list(docstrings.docstrings(ast.parse(DEEP)))
    assert found == [f"Of {name}." for name in "abCdef"]


def test_a_docstring_may_be_of_just_the_least_length(tmp_path: Path) -> None:
    modules = [module(tmp_path, "a.py", "é" * 5), module(tmp_path, "b.py", "é" * 4)]
    report = read(tmp_path / "out", modules, least=5)
    assert [d.text for d in read_documents(tmp_path / "out/u.arrow")] == ["é" * 5]
    assert report.ledger["documents"].dropped == {"empty": 1}


def test_the_cap_is_one_of_bytes_and_is_filled_to_the_last(tmp_path: Path) -> None:
    modules = [module(tmp_path, f"{n}.py", "é" * 5) for n in range(4)]
    for most, kept in ((20, 2), (29, 2), (30, 3), (9, 0)):
        report = read(tmp_path / str(most), modules, most=most)
        balance = report.ledger.to_json()["documents"]
        assert balance == {"in": 4, "kept": kept, "dropped": {"beyond max_bytes": 4 - kept}}


def test_equal_docstrings_of_a_module_come_once_and_in_the_first_ones_place(tmp_path: Path) -> None:
    code = 'def a():\n "One."\ndef b():\n "Two."\ndef c():\n "One."\n'
    path = tmp_path / "m.py"
    path.write_text(code)
    digest = hashlib.sha256(code.encode()).hexdigest()
    read(tmp_path, [ModuleFile("p", "m.py", digest, 9, str(path))])
    (document,) = read_documents(tmp_path / "u.arrow")
    assert document.text == "One.\n\nTwo."


@pytest.mark.parametrize("is_enabled", [True, False])
def test_garbage_collection_is_left_as_it_was(is_enabled: bool, tmp_path: Path) -> None:
    was_enabled = gc.isenabled()
    try:
        (gc.enable if is_enabled else gc.disable)()
        read(tmp_path, [module(tmp_path, "a.py", "text")])
        assert gc.isenabled() == is_enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_groups_are_begun_until_there_are_enough_for_the_cap() -> None:
    """A module that fills a group just so is its last; part of a group's text is a group."""
    modules = [ModuleFile("p", f"{n}.py", "", GROUP_SOURCE_BYTES, "") for n in range(9)]
    for most, count in ((1, 1), (GROUP_TEXT_BYTES, 1), (GROUP_TEXT_BYTES + 1, 2)):
        groups, each = plan_groups(modules, most)
        assert [len(group) for group in groups] == [1] * count
        assert each == most // count
    assert plan_groups([], 100) == ([], 100)
    halves = [ModuleFile("p", f"{n}.py", "", GROUP_SOURCE_BYTES // 2, "") for n in range(4)]
    assert [len(group) for group in plan_groups(halves, 10**9)[0]] == [2, 2]
    assert plan_groups(halves, 10**6)[1] == 500_000


def test_a_module_is_what_it_is_called_and_what_is_in_it() -> None:
    """Not where it lies; its place among all follows from its name alone."""
    one = ModuleFile("p", "a.py", "0" * 64, 1, "/here")
    assert one.identity() == ["p", "a.py", "0" * 64]
    assert one.rank == hashlib.sha256(b"p/a.py").hexdigest()
    assert one.rank == ModuleFile("p", "a.py", "1" * 64, 2, "/there").rank
    assert one.rank != ModuleFile("q", "a.py", "0" * 64, 1, "/here").rank


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of installed packages: one twice, and our own."""
    for number, (place, name, extra) in enumerate(
        [
            ("first", "Some.Pack_age", ""),
            ("second", "some-pack-age", ""),
            ("second", "roberta_pipeline", ""),
        ]
    ):
        folder = tmp_path / place
        info = folder / f"pack{number}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{extra}"
        )
        code = f'"""{place}"""'.encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(code).digest()).rstrip(b"=").decode()
        lines = []
        for file in ("m.py", "in/tests/t.py", "test/t.py", "../out.py", "data.txt", "in/n.py"):
            lines.append(f"{file},sha256={digest},{len(code)}")
        lines += ["old.py,md5=abc,3", "unsigned.py,,"]
        (info / "RECORD").write_text("\n".join(lines))
    monkeypatch.setattr("sys.path", [str(tmp_path / "first"), str(tmp_path / "second")])
    return tmp_path


def test_of_a_package_that_is_there_twice_the_one_that_is_imported_counts(site: Path) -> None:
    """Its modules but for tests, what lies outside, and what has no digest; never our own."""
    source = DocstringsSource(standard_library=False)
    found = installed_modules.installed_modules(source)
    assert {module.distribution for module in found} == {"some-pack-age"}
    assert sorted(module.name for module in found) == ["in/n.py", "m.py"]
    assert {module.sha256 for module in found} == {hashlib.sha256(b'"""first"""').hexdigest()}
    assert {module.path for module in found} == {f"{site}/first/{n}" for n in ("m.py", "in/n.py")}
    assert [module.rank for module in found] == sorted(module.rank for module in found)
    named = DocstringsSource(packages=("SOME_pack.age",), standard_library=False)
    assert installed_modules.installed_modules(named) == found
