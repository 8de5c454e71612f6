"""Which files share a unit, what a unit says of them, and what a source of files refuses."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from file_reading import describe, read

from tasks.config.corpus import FilesSource, HttpSource
from tasks.config.reading import ReadingOptions
from tasks.engine.ledger import Ledger
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork
from tasks.errors import UserError
from tasks.formats.source_files import SourceFile, in_order, reading_options
from tasks.sources import read_files, sizes
from tasks.sources.fetching import fetch
from tasks.sources.grouping import FILES_A_GROUP, MOST_ALONE, SMALL_BYTES, group_files
from tasks.sources.local_files import LocalFiles, find_files
from tasks.sources.read_files import read_in_units
from tasks.sources.sizes import sampled
from tasks.sources.web_files import WebFiles, path_of

TEXT = ReadingOptions(format="text")


def file(number: int, size: int = 10, **options: Any) -> SourceFile:
    """A file whose digest begins with its number's last digits."""
    digest = f"{number:04x}"[::-1] + "0" * 60
    how = TEXT.model_copy(update=options)
    return SourceFile(f"f{number}", StoredFile("", digest, size), "plain", how)


def numbers(groups: Sequence[Sequence[SourceFile]]) -> list[list[str]]:
    return [[each.name for each in group] for group in groups]


def run_here(folder: Path) -> Any:
    """Runs units one after another, as a stage would."""

    def run(
        function: Callable[..., UnitReport], units: Sequence[Unit], *, outputs: bool = True
    ) -> list[UnitResult]:
        del outputs
        results = []
        for unit in units:
            work = UnitWork(unit.label, folder)
            report = function(work, **unit.payload)
            files = {s: StoredFile(str(work.path(s)), "", 0) for s in work.declared}
            results.append(
                UnitResult(unit.label, "", files, Ledger(), report.summary, reused=False)
            )
        return results

    return run


def test_a_few_small_files_are_alone_and_many_are_grouped_by_their_digests() -> None:
    few = [file(n) for n in range(MOST_ALONE)]
    assert sorted(map(len, group_files(few))) == [1] * MOST_ALONE
    many = [file(n) for n in range(MOST_ALONE + 1)]
    groups = group_files(many)
    assert len(groups) == 16
    for group in groups:
        assert len({each.file.sha256[0] for each in group}) == 1


@pytest.mark.parametrize(("more", "digits"), [(0, 1), (1, 2)])
def test_more_than_sixteen_full_groups_are_divided_further(more: int, digits: int) -> None:
    groups = group_files([file(n) for n in range(FILES_A_GROUP * 16 + more)])
    assert len(groups) == 16**digits


def test_large_files_and_archives_have_a_unit_each() -> None:
    small = [file(n) for n in range(MOST_ALONE + 1)]
    large, archive = file(9999, SMALL_BYTES + 1), SourceFile("z", small[0].file, "zip", TEXT)
    groups = numbers(group_files([*small, file(9998, SMALL_BYTES), large, archive]))
    assert [large.name] in groups
    assert ["z"] in groups
    assert ["f9998"] not in groups


def test_only_files_that_are_read_in_one_way_share_a_group() -> None:
    """An encoding is as much a way of reading as a format."""
    one = [file(n) for n in range(40)]
    other = [file(n + 100, encoding="cp1252") for n in range(40)]
    assert sorted(map(len, group_files([*one, *other]))) == [1] * 80
    more = [file(n + 200) for n in range(40)]
    groups = group_files([*one, *other, *more])
    assert all(len({each.options.encoding for each in group}) == 1 for group in groups)


def test_groups_come_in_the_order_of_their_digests() -> None:
    """Wherever large files stand among small ones."""
    files = [file(3), file(1, SMALL_BYTES + 1), file(2), file(0, SMALL_BYTES + 1)]
    assert numbers(group_files(files)) == [["f0"], ["f1"], ["f2"], ["f3"]]


def test_files_are_put_in_order_by_what_is_in_them_and_how_it_is_read() -> None:
    csv, text, other = file(1, format="csv"), file(1), file(2)
    tar = SourceFile("a", text.file, "tar", TEXT)
    assert in_order([other, tar, text, csv]) == [csv, text, tar, other]


def test_how_a_source_reads_leaves_out_what_it_is_called() -> None:
    source = FilesSource(paths=("x",), name="n", text_field="body", separator="line")
    assert reading_options(source) == ReadingOptions(text_field="body", separator="line")


def test_each_file_knows_the_first_record_that_is_its_own(tmp_path: Path) -> None:
    """Records are numbered over a unit; one without any has none of its own."""
    for name, content in (("a", "1\n2\n\n3"), ("b", "4"), ("c", ""), ("d", "5\n6")):
        (tmp_path / f"{name}.txt").write_text(content)
    files = [describe(tmp_path / f"{n}.txt", separator="line")[0] for n in "abcd"]
    report = read_files.read_files(UnitWork("u", tmp_path / "u"), files=files)
    assert report.summary["parts"] == [[[0, None]], [[4, None]], [[5, None]], [[5, None]]]
    found = read_in_units(files, lambda n: f"d-{n}", run_here(tmp_path / "w")).files
    origins = {Path(each["name"]).name: each for each in found}
    assert {name: origin["first_record"] for name, origin in origins.items()} == dict.fromkeys(
        ["a.txt", "b.txt", "c.txt", "d.txt"], 0
    )
    assert origins["a.txt"]["bytes"] == 6
    assert {origins[name]["label"] for name in origins} == {f"d-{n}" for n in range(4)}


def test_in_a_shared_unit_files_begin_where_the_last_one_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.sources.grouping.MOST_ALONE", 0)
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text("one\n\ntwo" + " " * number)
    files = describe(tmp_path)
    result = read_in_units(files, lambda n: f"d-{n}", run_here(tmp_path / "w"))
    firsts: dict[str, list[int]] = {}
    for origin in result.files:
        firsts.setdefault(origin["label"], []).append(origin["first_record"])
    assert max(map(len, firsts.values())) > 1
    assert all(found == list(range(0, 2 * len(found), 2)) for found in firsts.values())
    assert [origin["sha256"] for origin in result.files] == [f.file.sha256 for f in files]


def test_so_many_members_are_named_and_all_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_files, "MAX_NAMED_MEMBERS", 2)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name in "abc":
            archive.writestr(name, f"text {name}")
    texts, report = read(tmp_path / "in.zip", tmp_path)
    assert texts == ["text a", "text b", "text c"]
    assert report.summary["parts"] == [[[0, "a"], [1, "b"]]]


def test_a_document_may_be_of_just_the_largest_size(tmp_path: Path) -> None:
    """In bytes; records are numbered within their file."""
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{"text": "ééé"}\n')
    assert read(tmp_path / "a.jsonl", tmp_path, max_document_bytes=6)[0] == ["x", "ééé"]
    with pytest.raises(UserError, match=r"a\.jsonl: record 1 is longer than 5 bytes"):
        read(tmp_path / "a.jsonl", tmp_path, max_document_bytes=5)


def test_halves_of_pairs_are_replaced_where_the_source_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "\\ud800x"}\n')
    assert read(tmp_path / "a.jsonl", tmp_path, errors="replace")[0] == ["\ufffdx"]


def test_what_is_read_is_in_the_key_file_by_file(tmp_path: Path) -> None:
    """With its container, its format and its encoding; and what endings mean, if it counts."""
    (tmp_path / "a.txt").write_text("one")
    source = FilesSource(paths=(str(tmp_path),), encoding="cp1252")
    assert list(LocalFiles(source, 3).externals()) == ["03-00000 plain/text/cp1252"]
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("a.txt", "one")
    labels = list(LocalFiles(FilesSource(paths=(str(tmp_path),)), 3).externals())
    assert sorted(label.partition(" ")[2] for label in labels) == [
        "endings",
        "plain/text/utf-8",
        "zip/auto/utf-8",
    ]
    named = FilesSource(paths=(str(tmp_path / "in.zip"),), format="text")
    assert [label.partition(" ")[2] for label in LocalFiles(named, 0).externals()] == [
        "zip/text/utf-8"
    ]


def test_files_are_found_sorted_by_their_paths_whatever_the_globs_order(tmp_path: Path) -> None:
    for name in "cab":
        (tmp_path / name).write_text(name)
    source = FilesSource(paths=(str(tmp_path / "c"), str(tmp_path / "[ab]")))
    assert [path.name for path in find_files(source, "corpus.0")] == ["a", "b", "c"]


def test_an_option_has_effect_where_one_file_of_several_takes_it(tmp_path: Path) -> None:
    """An archive among plain files may hold anything."""
    (tmp_path / "a.txt").write_text("one")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("b.txt", "two")
    assert len(describe(tmp_path, exclude=["*.html"], text_field="body")) == 2


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://h/a%20b.csv?x=.html#y", "/a b.csv"),
        ("https://h/a.txt.gz", "/a.txt.gz"),
        ("https://h", ""),
        ("https://h/%61.json%6c", "/a.jsonl"),
    ],
)
def test_the_path_of_an_address_is_without_query_and_escapes(url: str, path: str) -> None:
    assert path_of(url) == path


def test_remote_files_are_guessed_by_the_sum_of_their_sizes() -> None:
    urls = [
        {"url": "https://h/a", "bytes": 1000},
        {"url": "https://h/b", "bytes": 3000},
        "https://h/c",
    ]
    source = HttpSource.model_validate({"urls": urls})
    assert WebFiles(source, 0).estimate() == {"documents": 5, "bytes": 10_000}


def test_a_missing_secret_is_told_before_any_file_is_asked_for() -> None:
    source = HttpSource(urls=("https://h/a",), headers_from_env={"X-Key": "NOT_SET_ANYWHERE"})

    def never(*_: Any, **__: Any) -> list[UnitResult]:
        raise AssertionError("units were run")

    with pytest.raises(UserError, match="NOT_SET_ANYWHERE is not set"):
        WebFiles(source, 0).read(never)


def test_fetched_bytes_are_kept_and_not_handed_on(tmp_path: Path) -> None:
    """Only documents are outputs; an address's path says what is in it."""
    source = HttpSource(urls=("https://h/a.csv?x=1", "https://h/b.txt"))
    asked: list[tuple[str, bool, list[str]]] = []
    (tmp_path / "0.raw").write_text('text,n\n"one, two",1\n')
    (tmp_path / "1.raw").write_text("three")

    def run(function: Any, units: Sequence[Unit], *, outputs: bool = True) -> list[UnitResult]:
        asked.append((function.__name__, outputs, [unit.label for unit in units]))
        if function is not fetch:
            return run_here(tmp_path)(function, units)  # type: ignore[no-any-return]
        raw = [StoredFile(str(tmp_path / f"{n}.raw"), f"{n}" * 64, 9) for n in range(2)]
        return [
            UnitResult(u.label, "", {".raw": f}, Ledger(), {}, False)
            for u, f in zip(units, raw, strict=True)
        ]

    found = WebFiles(source, 4).read(run)
    assert asked == [
        ("fetch", False, ["fetched/04-00000", "fetched/04-00001"]),
        ("read_files", True, ["documents/04-00000", "documents/04-00001"]),
    ]
    assert [unit.summary["bytes"] for unit in found.units] == [8, 5]
    assert [each["name"] for each in found.files] == ["https://h/a.csv?x=1", "https://h/b.txt"]


def test_a_large_source_is_multiplied_up_from_files_all_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second of eight, of which every other is empty but for one long line."""
    monkeypatch.setattr(sizes, "_WHOLE_BYTES", 799)
    for number in range(8):
        text = "é\n" * 33 + "x" if number % 2 == 0 else "x" * 100
        (tmp_path / f"{number}.txt").write_text(text)
    files = [describe(tmp_path / f"{n}.txt", separator="line")[0] for n in range(8)]
    assert sum(each.file.bytes for each in files) == 800
    assert sampled(files) == {"documents": 8 * 34, "bytes": 8 * 67}
    monkeypatch.setattr(sizes, "_WHOLE_BYTES", 800)
    assert sampled(files) == {"documents": 4 * 34 + 4, "bytes": 4 * 67 + 400}
