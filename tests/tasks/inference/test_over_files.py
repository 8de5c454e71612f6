"""A model over files: any format, in order, in bounded memory, and a whole result or none."""

import csv
import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from stock_folders import SENTENCES, stock_folder

from roberta_model.inference.loaded import LoadedModel
from tasks.engine.progress import Count, Progress, Sink
from tasks.errors import UserError
from tasks.inference import over_files, results
from tasks.inference.model_folder import load_for_use
from tasks.inference.texts import open_texts

TEXTS = [*SENTENCES, "", "Rome", 'said "so", and\tleft', " ".join(SENTENCES), "the <mask> of it"]
LINES = [text.replace("\t", " ") for text in TEXTS]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny masked LM that stock saved."""
    place = tmp_path_factory.mktemp("model")
    stock_folder(place)
    return load_for_use(place)


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several windows for a few texts."""
    monkeypatch.setattr(over_files, "_AT_ONCE", dict.fromkeys(over_files._AT_ONCE, 4))


def rows() -> list[dict[str, str]]:
    return [{"id": str(number), "text": text} for number, text in enumerate(TEXTS)]


def write_table(path: Path, delimiter: str, lines: list[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(
            [["id", "text"], *([str(number), line] for number, line in enumerate(lines))]
        )


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()), encoding="utf-8")


def write_gz(path: Path) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows()))


FILES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "lines.txt": (lambda p: p.write_text("\n".join(LINES), encoding="utf-8"), LINES),
    "table.csv": (lambda p: write_table(p, ",", TEXTS), TEXTS),
    "half.csv": (lambda p: write_table(p, ";", TEXTS), TEXTS),
    "table.tsv": (lambda p: write_table(p, "\t", TEXTS), TEXTS),
    "rows.jsonl": (write_jsonl, TEXTS),
    "rows.jsonl.gz": (write_gz, TEXTS),
    "list.json": (lambda p: p.write_text(json.dumps(rows())), TEXTS),
    "rows.parquet": (lambda p: parquet.write_table(pa.Table.from_pylist(rows()), p), TEXTS),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_a_vector_for_each_record_in_order(
    name: str, model: LoadedModel, tmp_path: Path
) -> None:
    """The numbers of the texts themselves, and what was read of each."""
    write, expected = FILES[name]
    write(tmp_path / name)
    account = over_files.embed_file(model, open_texts(tmp_path / name), tmp_path / "v.parquet")
    found = parquet.read_table(tmp_path / "v.parquet")

    assert found.column_names == ["text", "tokens", "cut", "vector"]
    assert found["text"].to_pylist() == expected
    vectors = np.array(found["vector"].to_pylist(), dtype=np.float32)
    assert np.abs(vectors - model.embed(expected)).max() < 1e-5
    assert found["cut"].to_pylist() == [text == TEXTS[7] for text in expected]
    assert (account.texts, account.empty, account.cut) == (len(TEXTS), 1, 1)
    assert account.tokens == sum(found["tokens"].to_pylist())


def test_an_array_of_vectors_is_one_that_numpy_maps(model: LoadedModel, tmp_path: Path) -> None:
    """Any number of rows, none too; nothing but numbers is in it."""
    for kept in (TEXTS, []):
        file, out = tmp_path / "rows.jsonl", tmp_path / "v.npy"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in kept))
        over_files.embed_file(model, open_texts(file), out)
        mapped = np.load(out, mmap_mode="r", allow_pickle=False)
        assert mapped.shape == (len(kept), 32)
        assert np.allclose(mapped, model.embed(kept), atol=1e-5)


class Shown(Sink):
    """What progress was shown."""

    def __init__(self) -> None:
        self.percents: list[float] = []

    def update(self, count: Count) -> None:
        self.percents.append(count.percent)


def test_scores_and_guesses_are_those_of_the_texts(model: LoadedModel, tmp_path: Path) -> None:
    """Written window by window as lines or tables, with how far it is shown on the way."""
    kept = [text for text in TEXTS if text != TEXTS[7]]
    file, shown = tmp_path / "rows.jsonl", Shown()
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in kept))
    windows = over_files.score_windows(
        model, open_texts(file), over_files.Account(), Progress(shown)
    )
    over_files.write_windows(windows, tmp_path / "s.jsonl", over_files.SCORED)
    scores = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    expected = model.score(kept)
    assert [score["text"] for score in scores] == kept
    assert [s["score"] for s in scores] == pytest.approx([s["score"] for s in expected], abs=1e-4)
    assert shown.percents == sorted(shown.percents)
    assert len(shown.percents) == 3
    assert shown.percents[0] < 70  # what follows the first four is half as long
    assert shown.percents[-1] == 100

    account = over_files.Account()
    filled = over_files.fill_windows(model, open_texts(file), 3, account)
    over_files.write_windows(filled, tmp_path / "f.parquet", over_files.FILLED)
    rows = parquet.read_table(tmp_path / "f.parquet").to_pylist()
    assert [len(row["masks"]) for row in rows] == [0] * 7 + [1]
    (guesses,) = model.fill_mask(TEXTS[-1], top=3)
    assert [guess["token"] for guess in rows[-1]["masks"][0]] == [g["token"] for g in guesses]
    assert account.tokens == 1


def test_a_file_is_read_a_window_at_a_time(tmp_path: Path) -> None:
    """The next window is read when this one is done with, by number and by length."""
    file = tmp_path / "lines.txt"
    file.write_text("a line of text\n" * 300_000)
    windows = open_texts(file).windows(4)
    first = next(windows)
    assert (first.first, len(first.texts)) == (1, 4)
    assert 4 * 14 < first.read_bytes < file.stat().st_size / 2
    assert next(windows).first == 5


BROKEN: dict[str, tuple[str, str, str]] = {
    "no JSON": ("rows.jsonl", '{"text": "a"}\n{"te', "line 2: this is not JSON .*--format"),
    "no text": (
        "rows.jsonl",
        '{"text": "a"}\n{"text": 7}\n',
        "holds the number 7.*Set --column to",
    ),
    "half a pair": ("rows.jsonl", '{"text": "a"}\n{"text": "\\ud800"}\n', "text 2 holds half"),
    "a ragged row": ("t.csv", "id,text\n1,a\n2,b,c\n", "line 3: this row has 3 cells"),
    "a web page": (
        "p.html",
        "<p>",
        r"a web page.* JSON Lines or CSV first; or, .*--format text\.",
    ),
    "no utf-8": ("l.txt", "a\ncaf\udce9\n", "byte 5 .* Set --encoding"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_leaves_no_half_result(
    case: str, model: LoadedModel, tmp_path: Path
) -> None:
    """The record is named in the words of the command, and what stood there before still does."""
    name, content, message = BROKEN[case]
    file, out = tmp_path / name, tmp_path / "out.npy"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    out.write_bytes(b"an earlier result")
    with pytest.raises(UserError, match=message) as caught:
        over_files.embed_file(model, open_texts(file), out)
    assert "source" not in str(caught.value).removeprefix(str(tmp_path))
    assert out.read_bytes() == b"an earlier result"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "out.npy"])


@pytest.mark.parametrize("size", [4, 8])
def test_a_file_that_changes_while_it_is_read_gives_no_result(
    size: int, model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut short at a line's end, or with other letters under the old size and time."""
    file, out = tmp_path / "lines.txt", tmp_path / "out.npy"
    file.write_text("cat\ndog\n")
    texts, before = open_texts(file), file.stat()
    embed = LoadedModel.embed_with_lengths

    def embed_meanwhile(*given: Any) -> Any:
        file.write_text("cat\ndig\n"[:size])
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        return embed(*given)

    monkeypatch.setattr(LoadedModel, "embed_with_lengths", embed_meanwhile)
    with pytest.raises(UserError, match=r"lines\.txt: the file was changed while it was"):
        over_files.embed_file(model, texts, out)
    assert not out.exists()


def test_a_pipe_is_refused_in_words(tmp_path: Path) -> None:
    """Its beginning would be gone once it is looked at; nobody waits for a writer."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"pipe: this is no regular file, .* Save it to a file"):
        open_texts(tmp_path / "pipe")


def test_the_column_is_told_from_the_file_or_asked_for(tmp_path: Path) -> None:
    """By its name, by its length, or by `--column`; never by a guess that could be another."""
    table = tmp_path / "t.csv"
    table.write_text("label,said\ngood,It was a joy to see.\nbad,It was none to me.\n")
    found = open_texts(table)
    assert (found.column, found.is_guessed) == ("said", True)
    assert open_texts(table, "label").column == "label"
    table.write_text("first,second\nIt was a joy.,It was joy.\n")
    with pytest.raises(UserError, match=r"cannot be told: 'first', 'second'. Name it by --column"):
        open_texts(table)
    with pytest.raises(UserError, match=r"no 'thrid'.*Set --column to the one that holds"):
        list(open_texts(table, "thrid").windows(4))
    lines = tmp_path / "l.txt"
    lines.write_text("a\n")
    with pytest.raises(UserError, match="plain text, which has no columns"):
        open_texts(lines, "text")
    with pytest.raises(UserError, match="--encoding klingon: Python knows no text encoding"):
        open_texts(lines, encoding="klingon")
    with pytest.raises(UserError, match="--format cvs: Input should be"):
        open_texts(lines, form="cvs")
    lines.write_bytes("Größe\n".encode("cp1252"))
    assert [w.texts for w in open_texts(lines, encoding="cp1252").windows(4)] == [["Größe"]]


def test_a_place_for_results_is_looked_at_before_anything_is_computed(tmp_path: Path) -> None:
    """Another ending, a folder, a folder that is not there, and the file itself are refused."""
    file = tmp_path / "rows.parquet"
    file.write_bytes(b"")
    (tmp_path / "a.parquet").mkdir()
    for place, message in (
        ("v.txt", "must end in .parquet or .npy"),
        ("a.parquet", "this is a folder"),
        ("none/v.npy", "there is no folder"),
        ("rows.parquet", "the file that is read"),
    ):
        with pytest.raises(UserError, match=message):
            results.check_target(tmp_path / place, (".parquet", ".npy"), file)


def test_a_text_that_is_too_long_to_score_says_so_in_its_place(
    model: LoadedModel, tmp_path: Path
) -> None:
    """The others have the scores that they have without it."""
    file, account = tmp_path / "lines.txt", over_files.Account()
    file.write_text("a list\n" * 5 + "word " * 90 + "\na list\n")
    windows = over_files.score_windows(model, open_texts(file), account)
    lines = [line for window in windows for line in window]
    assert (account.texts, account.too_long) == (7, 1)
    (alone,) = model.score(["a list"])
    assert [line["tokens"] for line in lines] == [alone["tokens"]] * 5 + [0, alone["tokens"]]
    assert lines[5]["score"] is None
    assert lines[5]["per_token"] is None
    told = [line["why"] for line in lines if line["why"] is not None]
    limit = model.max_tokens
    assert told == [lines[5]["why"]]
    assert re.fullmatch(rf"\d+ tokens, and the model reads at most {limit}", told[0])
    scores = [line["score"] for line in lines if line["why"] is None]
    assert scores == pytest.approx([alone["score"]] * 6, abs=1e-4)


def test_a_text_that_is_too_long_to_fill_says_so_in_its_row(
    model: LoadedModel, tmp_path: Path
) -> None:
    """The others are filled; one without a mask may be of any length."""
    file, long = tmp_path / "lines.txt", "word " * 90
    file.write_text(f"{TEXTS[-1]}\n{long}<mask>\n{long}\n{TEXTS[-1]}\n")
    account = over_files.Account()
    (rows,) = over_files.fill_windows(model, open_texts(file), 5, account)
    assert [len(row["masks"]) for row in rows] == [1, 0, 0, 1]
    told = rows[1]["why"]
    assert told is not None
    assert re.fullmatch(rf"\d+ tokens, and the model reads at most {model.max_tokens}", told)
    assert [row["why"] for row in rows] == [None, told, None, None]
    assert (account.texts, account.tokens, account.too_long) == (4, 2, 1)


def test_cutting_a_result_short_leaves_nothing(model: LoadedModel, tmp_path: Path) -> None:
    """Ctrl-C in the middle: the file in the making goes, and no name stands."""
    schema: Any = over_files.SCORED

    def stopped() -> Any:
        yield model.score_readable(["a"], 1)
        raise KeyboardInterrupt

    for ending in ("jsonl", "csv", "parquet"):
        with pytest.raises(KeyboardInterrupt):
            over_files.write_windows(stopped(), tmp_path / f"s.{ending}", schema)
    assert list(tmp_path.iterdir()) == []
