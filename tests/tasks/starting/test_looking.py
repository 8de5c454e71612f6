"""What `init` looks at and what it leaves out: names, sizes, kinds, columns, globs."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.errors import UserError
from tasks.sources import sizes
from tasks.starting import listing, survey
from tasks.starting.listing import Listing, list_files, suffix_of
from tasks.starting.make_config import Request
from tasks.starting.survey import (
    AT_SENTENCE_ENDS,
    Found,
    _column,
    _globs,
    _how,
    _is_markup,
    _separator,
    _short,
    total_of,
)


def nobody(path: Path, fields: Any) -> str | None:
    return None


def touched(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return paths


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a.txt", None),
        ("README.md", "says something about the rest"),
        ("readme", "says something about the rest"),
        ("LICENCE.txt", "says something about the rest"),
        ("license", "says something about the rest"),
        ("sha256sums.txt", "says something about the rest"),
        ("my-readme.txt", None),
        ("readme.txt.jsonl", None),
        ("uv.lock", "settings"),
        ("a.toml", "settings"),
        ("4-pack/k/a.txt", "in a store of runs"),
        ("6-suite/k/a.txt", "in a store of runs"),
        ("9-other/k/a.txt", None),
        ("a/4-pack", None),
    ],
)
def test_a_file_that_is_no_text_of_a_corpus_is_told_by_its_name(
    tmp_path: Path, name: str, why: str | None
) -> None:
    (path,) = touched(tmp_path, name)
    found = list_files([tmp_path])
    assert found.left_out == ({} if why is None else {path: why})
    assert found.files == ({path: tmp_path} if why is None else {})


def test_an_empty_file_is_left_out_and_a_missing_path_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    assert list_files([tmp_path]).left_out == {tmp_path / "a.txt": "empty"}
    with pytest.raises(UserError, match="none: there is no such file or folder"):
        list_files([tmp_path, tmp_path / "none"])


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    """Below the path that was named first."""
    one, two = touched(tmp_path, "a/one.txt", "a/two.txt")
    found = list_files([one, tmp_path / "a"])
    assert found.files == {one: one, two: tmp_path / "a"}


def test_more_files_than_can_be_looked_at_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are left out count too."""
    touched(tmp_path, "a.txt", "b.txt", "readme")
    monkeypatch.setattr(listing, "_MOST_FILES", 3)
    assert len(list_files([tmp_path]).files) == 2
    monkeypatch.setattr(listing, "_MOST_FILES", 2)
    with pytest.raises(UserError, match="there are more than 2 files"):
        list_files([tmp_path])


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.txt.GZ", ".txt.GZ"), ("a.b.zst", ".b.zst"), ("a.tar.xz", ".tar.xz"), (".gz", ""),
     ("a.jsonl.zip", ".zip")],
)  # fmt: skip
def test_a_compression_is_part_of_a_suffix(name: str, suffix: str) -> None:
    assert suffix_of(Path(name)) == suffix


def test_a_text_with_a_tag_every_six_hundred_letters_is_markup() -> None:
    """More than half of the texts have to be; opening tags alone are none."""
    tagged = "</b>" + "x" * 595
    assert _is_markup([tagged])
    assert not _is_markup([tagged + "x"])
    assert _is_markup([tagged, tagged, "plain"])
    assert not _is_markup([tagged, "plain"])
    assert not _is_markup(["<unk> <s>"])
    assert not _is_markup([])


def test_a_column_is_the_one_named_the_likely_one_or_the_one_chosen() -> None:
    def look(**fields: list[str]) -> Any:
        return SimpleNamespace(fields=fields)

    path, prose = Path("a"), ["It was a dark and stormy night, said the captain."] * 5
    assert _column(path, look(), nobody, "text") is None
    assert _column(path, look(a=prose, text=prose), nobody, "a") == "a"
    assert _column(path, look(text=prose), nobody, "other") == "text"
    assert _column(path, look(a=prose, b=prose), nobody, None) is None
    asked: list[Any] = []

    def choose(path: Path, fields: Any) -> str | None:
        asked.append((path, fields))
        return "b"

    assert _column(path, look(a=prose, b=prose), choose, None) == "b"
    assert asked == [(path, ["a", "b"])]


def test_plain_text_is_parted_by_blank_lines_by_lines_or_by_files(tmp_path: Path) -> None:
    """Many short files are a document each; blank lines at the ends part nothing."""

    def of_size(size: int, count: int) -> list[Path]:
        paths = [tmp_path / f"{size}-{n}" for n in range(count)]
        for path in paths:
            path.write_bytes(b"x" * size)
        return paths

    few = of_size(10, 3)
    assert _separator("a\n\nb", few, None) is None
    assert _separator("a\n  \nb", few, None) is None
    assert _separator("\n\na\nb\n\n", few, None) == "line"
    assert _separator("a\nb", few, "in an archive") == "file"
    assert _separator("a\nb", of_size(199_999, 4), None) == "file"
    assert _separator("a\nb", of_size(200_000, 4), None) == "line"

    line = "a judge once had the kindness to inform"
    wrapped = f"{line}\nme, as one of a company of men and women.\n{line}\n"
    assert _separator(wrapped * 7, few, None) == AT_SENTENCE_ENDS
    assert _separator(wrapped * 7, few, "in an archive") == "file"
    assert _separator(wrapped * 6, few, None) == "line", "too few lines to tell"
    assert _separator(f"{line}\n" * 50, few, None) == "line", "titles end no sentence"
    wide = f"{line * 4}.\n{line * 4}\n{line * 4}\n"
    assert _separator(wide * 7, few, None) == "line", "paragraphs"
    talk = "Uh-huh\nwell I like the print news much better\n"
    assert _separator(talk * 11, few, None) == "line", "lines of all lengths"


def test_a_source_says_only_what_is_not_the_default() -> None:
    def how(column: str | None = None, encodings: Any = ("utf-8",), **look: Any) -> Any:
        seen = {"format": "jsonl", "text": "a\n\nb", "member": None, **look}
        return _how(SimpleNamespace(**seen), column, encodings, [])  # type: ignore

    assert how() == how("text") == how(encodings=("ascii", None)) == {}
    assert how("body") == {"text_field": "body"}
    assert how(format="tsv_unquoted") == {"format": "tsv_unquoted"}
    assert how(encodings=("utf-8", "cp1252")) == {"encoding": "auto"}
    assert how(member="a.txt") == {"encoding": "auto"}
    assert how(member="a.parquet", format="parquet") == {}


def test_globs_match_a_sources_files_and_no_other_of_the_listing(tmp_path: Path) -> None:
    """One for a folder of its own and all below; else one a folder; else the very names."""
    names = ("a/x.txt", "a/y.txt", "b/z.txt", "b/w.txt", "b/n.jsonl", "c/q.txt", "c/r.txt")
    paths = touched(tmp_path, *names)
    found = Listing(dict.fromkeys(paths, tmp_path))

    def of(*names: str) -> list[str]:
        globs = _globs([tmp_path / name for name in names], found)
        return [glob.removeprefix(f"{tmp_path}/") for glob in globs]

    texts = [name for name in names if name.endswith(".txt")]
    assert of(*texts) == ["**/*.txt"]
    assert of("a/x.txt", "a/y.txt", "c/q.txt") == ["a/*.txt", "c/q.txt"]
    assert of("b/n.jsonl") == ["**/*.jsonl"]
    found.left_out[tmp_path / "a" / "torn.jsonl"] = "torn"
    assert of("b/n.jsonl") == ["b/*.jsonl"], "what is left out must not come in by a glob"
    found.left_out[tmp_path / "b" / "torn.jsonl"] = "torn"
    assert of("b/n.jsonl") == ["b/n.jsonl"]


def test_a_refusal_is_told_in_its_first_sentence_without_the_name() -> None:
    path = Path("/in/a.txt")
    assert _short(UserError("/in/a.txt: it is torn. Mend it."), path) == "it is torn"
    assert _short(UserError("/in/a.txt, line 3: no\nJSON."), path) == "line 3: no JSON"
    assert len(_short(UserError("x" * 500), path)) == 160


def test_the_total_is_that_of_all_sources() -> None:
    sizes = [{"documents": n, "bytes": 10 * n} for n in (1, 2)]
    assert total_of([Found({}, size=size) for size in sizes]) == {"documents": 3, "bytes": 30}


def test_of_many_files_of_a_kind_a_few_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spread over all of them; the others are read as the usual one is."""
    paths = [tmp_path / f"{n:02}.jsonl" for n in range(12)]
    for path in paths:
        row = {"body": "It was a dark and stormy night, said the captain of the ship."}
        path.write_text(json.dumps(row) + "\n")
    looked: list[str] = []
    read = survey._read

    def note(source: Any) -> Any:
        looked.append(Path(source.file.url).name)
        return read(source)

    monkeypatch.setattr(survey, "_read", note)
    (found,) = survey.survey(list_files([tmp_path]), nobody)
    assert looked == [f"{n:02}.jsonl" for n in (0, 2, 4, 6, 8, 10)]
    assert (found.files, found.how) == (paths, {"text_field": "body"})
    assert (found.formats, found.size["documents"]) == ({"jsonl": 12}, 12)


def test_where_each_file_is_a_document_the_files_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few of 2,000 files stood for 1,963."""
    files = touched(tmp_path, *(f"{n}.txt" for n in range(5)))
    for number, path in enumerate(files):
        path.write_text("one line\n" * (1 + 50 * number), encoding="utf-8")
    monkeypatch.setattr(sizes, "_WHOLE_BYTES", 0)
    whole = survey._size(Found({"separator": "file"}, files=files), Listing())
    lines = survey._size(Found({"separator": "line"}, files=files), Listing())
    assert (whole["documents"], lines["documents"]) == (5, 505)


def test_each_line_that_is_told_names_its_files(tmp_path: Path) -> None:
    """One by its path, several by the globs that the config has; what is left out with why."""
    (tmp_path / "one.jsonl").write_text(json.dumps({"body": "It was a dark night, he said."}))
    (tmp_path / "more").mkdir()
    for number in range(3):
        (tmp_path / f"more/{number}.txt").write_text("Es war eine dunkle Nacht.\n\nSagte er.\n")
    (tmp_path / "page.html").write_text("<p>It was a dark night.</p>")
    request = Request([tmp_path], "x", tmp_path / "x.yaml", None, nobody)
    more, one, little, left = request.look().told()
    assert one.startswith(f"{tmp_path}/one.jsonl: jsonl, about 1 documents, ")
    assert more.startswith(f"{tmp_path}/**/*.txt: 3 text, about 6 documents, ")
    assert "little text" in little
    assert left == f"1 left out, as the config says: {tmp_path}/page.html: a web page"
