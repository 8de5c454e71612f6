"""Docstrings of installed modules: what is taken, and that it follows from content alone."""

import ast
import hashlib
from pathlib import Path

import pytest

from tasks.config.corpus import DocstringsSource
from tasks.documents import read_documents
from tasks.engine.units import UnitReport, UnitWork
from tasks.errors import UserError
from tasks.sources import docstrings
from tasks.sources.docstrings import plan_groups, read_docstrings
from tasks.sources.installed_modules import ModuleFile, installed_modules

CODE = '''
"""Of the module."""
class A:
    """Of the class.

    Flush.
        Indented.
    """
    async def f(self):
        """Of the method."""
        return "no docstring"
try:
    def g():
        def inner():
            """Of the inner."""
except ImportError:
    def g():
        """Of the fallback."""
def h():
    """Of the method."""
'''


def module(folder: Path, name: str, code: str) -> ModuleFile:
    path = folder / name
    path.write_text(code)
    digest = hashlib.sha256(code.encode()).hexdigest()
    return ModuleFile("package", name, digest, len(code), str(path))


def read(
    modules: list[ModuleFile],
    out: Path,
    as_prose: bool = True,
    min_characters: int = 5,
    max_bytes: int = 10**6,
) -> UnitReport:
    return read_docstrings(
        UnitWork("u", out),
        modules=modules,
        as_prose=as_prose,
        min_characters=min_characters,
        max_bytes=max_bytes,
    )


def test_docstrings_come_in_source_order_and_dedented() -> None:
    """Classes, methods, nested functions and both arms of a try; strings elsewhere are not."""
    assert list(docstrings.docstrings(ast.parse(CODE))) == [
        "Of the module.",
        "Of the class.\n\nFlush.\n    Indented.",
        "Of the method.",
        "Of the inner.",
        "Of the fallback.",
        "Of the method.",
    ]


def test_every_module_is_accounted_for(tmp_path: Path) -> None:
    """One that does not parse, one changed, one without text: each has its reason."""
    modules = [
        module(tmp_path, "good.py", CODE),
        module(tmp_path, "python2.py", "print 'hello'"),
        module(tmp_path, "edited.py", '"""As it was installed."""'),
        module(tmp_path, "bare.py", "x = 1"),
        module(tmp_path, "escape.py", '"""A wrong \\d escape warns, that is all."""'),
    ]
    (tmp_path / "edited.py").write_text('"""As somebody left it."""')
    report = read(modules, tmp_path / "out")
    reasons = {"unparsable": 1, "changed since installation": 1, "empty": 1}
    balance = report.ledger.to_json()["documents"]
    assert balance == {"in": 5, "kept": 2, "dropped": reasons}
    found = list(read_documents(tmp_path / "out/u.arrow"))
    assert [document.record for document in found] == [0, 4]
    assert found[0].text.count("Of the method.") == 1
    assert report.summary["parts"] == [[[0, "package: good.py"], [4, "package: escape.py"]]]


def test_the_cap_is_kept_exactly_and_the_rest_is_counted(tmp_path: Path) -> None:
    """Text stops before `max_bytes`; modules after it are dropped by that name."""
    modules = [module(tmp_path, f"m{n}.py", f'"""{"x" * 99}{n}"""') for n in range(5)]
    report = read(modules, tmp_path / "out", max_bytes=250)
    report.ledger.check("docs")
    assert report.summary["bytes"] == 200
    balance = report.ledger.to_json()["documents"]
    assert balance == {"in": 5, "kept": 2, "dropped": {"beyond max_bytes": 3}}


@pytest.mark.parametrize(
    ("as_prose", "class_text"),
    [(True, "Of the class.\nFlush. Indented."), (False, "Of the class.\n\nFlush.\n    Indented.")],
)
def test_a_document_is_prose_or_the_docstrings_as_they_are(
    as_prose: bool, class_text: str, tmp_path: Path
) -> None:
    """Either way a module's docstrings are parted by blank lines, and repeats come once."""
    read([module(tmp_path, "good.py", CODE)], tmp_path, as_prose=as_prose)
    (document,) = read_documents(tmp_path / "u.arrow")
    rest = ["Of the method.", "Of the inner.", "Of the fallback."]
    assert document.text == "\n\n".join(["Of the module.", class_text, *rest])


@pytest.mark.parametrize(("as_prose", "num_kept"), [(True, 0), (False, 1)])
def test_the_least_length_counts_what_is_written(
    as_prose: bool, num_kept: int, tmp_path: Path
) -> None:
    """A docstring that is long by its doctests alone is short as prose."""
    code = '"""Add.\n\n' + ">>> 1 + 1\n2\n" * 20 + '"""'
    report = read(
        [module(tmp_path, "m.py", code)], tmp_path / "out", as_prose=as_prose, min_characters=100
    )
    assert report.ledger.to_json()["documents"]["kept"] == num_kept


def test_groups_give_at_most_the_cap_and_a_higher_cap_only_adds() -> None:
    """Raising max_bytes keeps every group that was there, so its unit is reused."""
    modules = [ModuleFile("p", f"{n}.py", "0" * 64, 200_000, "") for n in range(2000)]
    few, few_bytes = plan_groups(modules, 4 << 20)
    many, many_bytes = plan_groups(modules, 8 << 20)
    assert (len(few), len(many)) == (8, 16)
    assert many[:8] == few
    assert few_bytes == many_bytes == docstrings.GROUP_TEXT_BYTES
    small, small_bytes = plan_groups(modules[:10], 4 << 20)
    assert (len(small), small_bytes) == (1, 4 << 20)


def test_installed_packages_are_listed_by_content() -> None:
    """Real packages: digests are those of the files, tests and our own code are left out."""
    found = installed_modules(DocstringsSource(packages=("Click", "pyyaml"), standard_library=True))
    assert {module.distribution for module in found} == {"click", "pyyaml", "python"}
    click = [module for module in found if module.distribution == "click"]
    for known in click:
        assert hashlib.sha256(Path(known.path).read_bytes()).hexdigest() == known.sha256
    assert not [m for m in found if {"test", "tests", "site-packages"} & set(m.name.split("/"))]
    assert [m.rank for m in found] == sorted(m.rank for m in found)


def test_an_unknown_package_is_refused_with_the_nearest_name() -> None:
    """A typing mistake must not silently give a smaller corpus."""
    with pytest.raises(UserError, match=r"'clik' .* not installed. Did you mean 'click'"):
        installed_modules(DocstringsSource(packages=("clik",)))


def test_real_docstrings_become_real_prose(tmp_path: Path) -> None:
    """Click's own docstrings are there, as documents of some length, without their wrapping."""
    modules = installed_modules(DocstringsSource(packages=("click",), standard_library=False))
    report = read(modules, tmp_path)
    texts = [document.text for document in read_documents(tmp_path / "u.arrow")]
    assert any("command line" in text for text in texts)
    lines = [line for text in texts for line in text.split("\n")]
    assert sum(map(len, lines)) / len(lines) > 80
    assert not any(line.startswith((" ", ">>>")) for line in lines)
    assert report.summary["bytes"] > 50_000
