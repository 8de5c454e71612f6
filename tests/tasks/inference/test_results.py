"""Results as files: their bytes in each format, and that they are whole, flushed and readable."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tasks.engine.files import flush_file
from tasks.errors import StageError, UserError
from tasks.formats.encodings import BLOCK_BYTES
from tasks.inference import results, texts
from tasks.inference.over_files import FILLED, SCORED
from tasks.inference.results import check_target, whole_results
from tasks.inference.texts import open_texts

ROWS: list[dict[str, Any]] = [
    {"text": 'é, "a"\tb', "tokens": 3, "score": -1.5, "per_token": -0.5, "why": None},
    {"text": "", "tokens": 0, "score": None, "per_token": None, "why": "long"},
]


def written(path: Path, rows: list[dict[str, Any]] = ROWS, schema: pa.Schema = SCORED) -> Path:
    with whole_results(path, schema) as out:
        for row in rows:
            out.write([row])
    return path


def test_what_a_link_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    far, link = tmp_path / "far" / "other.csv", tmp_path / "s.jsonl"
    link.symlink_to(far)
    written(link)
    assert link.is_symlink()
    assert far.read_bytes() == written(tmp_path / "t.jsonl").read_bytes()
    assert len(list(tmp_path.rglob("*"))) == 4, "nothing is left beside them"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "s.jsonl",
            '{"text": "é, \\"a\\"\\tb", "tokens": 3, "score": -1.5, "per_token": -0.5, '
            '"why": null}\n'
            '{"text": "", "tokens": 0, "score": null, "per_token": null, "why": "long"}\n',
        ),
        ("s.csv", 'text,tokens,score,per_token,why\n"é, ""a""\tb",3,-1.5,-0.5,\n,0,,,long\n'),
        (
            "S.TSV",
            'text\ttokens\tscore\tper_token\twhy\n"é, ""a""\tb"\t3\t-1.5\t-0.5\t\n\t0\t\t\tlong\n',
        ),
    ],
)
def test_lines_and_tables_have_every_row_in_order(name: str, text: str, tmp_path: Path) -> None:
    """In UTF-8, with a header where it is a table; what is not known is empty."""
    assert written(tmp_path / name).read_bytes() == text.encode()


def test_parquet_has_the_schemas_types_and_an_array_the_vectors_alone(tmp_path: Path) -> None:
    table = parquet.read_table(written(tmp_path / "s.parquet"))
    assert table.schema.equals(SCORED)
    assert table.to_pylist() == ROWS
    vector = pa.list_(pa.float32(), 2)
    schema = pa.schema([("text", pa.string()), ("vector", vector)])
    rows: list[dict[str, Any]] = [
        {"text": "a", "vector": [1.0, 2.0]},
        {"text": "b", "vector": [3.0, 4.5]},
        {"text": "c", "vector": [0.0, -1.0]},
    ]
    found = np.load(written(tmp_path / "v.npy", rows, schema), allow_pickle=False)
    assert found.dtype == np.dtype("<f4")
    assert found.tolist() == [row["vector"] for row in rows]


def test_a_list_in_a_table_is_words_or_json(tmp_path: Path) -> None:
    """Tags have spaces between them, as they are read; in JSON Lines they stay a list."""
    rows: list[dict[str, Any]] = [{"tags": ["O", "B-x"], "n": [1, 2]}, {"tags": [], "n": None}]
    schema = pa.schema([("tags", pa.list_(pa.string())), ("n", pa.list_(pa.int64()))])
    assert written(tmp_path / "t.csv", rows, schema).read_bytes() == b'tags,n\nO B-x,"[1, 2]"\n,\n'
    lines = b'{"tags": ["O", "B-x"], "n": [1, 2]}\n{"tags": [], "n": null}\n'
    assert written(tmp_path / "t.jsonl", rows, schema).read_bytes() == lines


@pytest.mark.parametrize("name", ["s.csv", "s.tsv"])
def test_what_ends_lines_within_a_text_ends_no_row(name: str, tmp_path: Path) -> None:
    """Python 3.11 leaves a lone carriage return without quotes; readers end the row there."""
    rows = [{**ROWS[0], "text": text} for text in ("a\rb", "a\r\nb", "\n", 'c"\r', "d")]
    with written(tmp_path / name, rows).open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file, delimiter="\t" if name == "s.tsv" else ","))
    assert [row["text"] for row in found] == [row["text"] for row in rows]


def test_a_value_of_another_type_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"s\.parquet: a value does not fit .* Write \.jsonl"):
        written(tmp_path / "s.parquet", [{**ROWS[0], "tokens": "three"}])
    assert not list(tmp_path.iterdir())


def test_guesses_of_each_mask_are_lists_of_lists(tmp_path: Path) -> None:
    guess = {"token": " a", "id": 7, "score": 0.5}
    rows: list[dict[str, Any]] = [{"text": "<mask>", "masks": [[guess], []], "why": None}]
    found = parquet.read_table(written(tmp_path / "f.parquet", rows, FILLED))
    assert found.to_pylist() == rows


@pytest.mark.parametrize("name", ["s.jsonl", "s.csv", "s.parquet"])
def test_a_result_is_flushed_before_it_has_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it: a power cut leaves the earlier one, or the whole new one."""
    path = tmp_path / name
    path.write_text("an earlier result")
    flushed = list[tuple[int, str]]()

    def flush(temporary: Path) -> None:
        assert temporary.parent.parent == tmp_path
        flushed.append((temporary.stat().st_size, path.read_text()))
        flush_file(temporary)

    monkeypatch.setattr(results, "flush_file", flush)
    written(path)
    assert flushed == [(path.stat().st_size, "an earlier result")]
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_result_has_the_mode_that_the_umask_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the library that writes it would give it."""
    usual: Callable[..., results.Results] = results._open

    def private(path: Path, *words: Any) -> results.Results:
        made = usual(path, *words)
        path.chmod(0o600)
        return made

    monkeypatch.setattr(results, "_open", private)
    umask = os.umask(0o022)
    os.umask(umask)
    assert written(tmp_path / "s.csv").stat().st_mode & 0o777 == 0o666 & ~umask


def interrupted(path: Path, rows: pa.Table | None) -> None:
    """One row is written, and then something goes wrong."""
    with whole_results(path, SCORED) as out:
        out.write(ROWS)
        if rows is None:
            raise KeyboardInterrupt
        out.write(rows)


def test_an_error_leaves_the_earlier_result(tmp_path: Path) -> None:
    """And no file in the making."""
    path = written(tmp_path / "s.csv")
    before = path.read_bytes()
    wrong = pa.table({"else": ["x"]})
    with pytest.raises(ValueError, match="schema"):
        interrupted(tmp_path / "s.parquet", wrong)
    with pytest.raises(KeyboardInterrupt):
        interrupted(path, None)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["s.csv"]


def test_what_a_killed_command_left_goes_with_the_next_of_that_name(tmp_path: Path) -> None:
    """Not what another is writing to the same name just now, nor a file that is called alike."""
    hold = (
        "import sys; from pathlib import Path\n"
        "from tasks.inference.over_files import SCORED\n"
        "from tasks.inference.results import whole_results\n"
        "with whole_results(Path(sys.argv[1]), SCORED) as out:\n"
        f"    out.write({ROWS!r})\n"
        "    print(flush=True)\n"
        "    sys.stdin.read()\n"
    )
    path = tmp_path / "s.csv"
    (tmp_path / ".s.csv.mine.tmp").write_text("mine")
    killed, alive = (
        subprocess.Popen(
            [sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    )
    for each in (killed, alive):
        assert each.stdout is not None
        each.stdout.readline()
    assert len(list(tmp_path.iterdir())) == 3
    killed.kill()
    killed.communicate()
    written(path)
    assert len(list(tmp_path.iterdir())) == 3  # mine, the new one, and what is being written
    alive.communicate()
    assert sorted(each.name for each in tmp_path.iterdir()) == [".s.csv.mine.tmp", "s.csv"]


def test_the_file_that_is_read_is_not_written_over_by_any_name(tmp_path: Path) -> None:
    """Another's place is taken; endings count whatever their letters."""
    source, other = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_text("x")
    other.write_text("y")
    (tmp_path / "link.csv").symlink_to(source)
    check_target(other, (".csv",), source)
    check_target(tmp_path / "NEW.CSV", (".csv",), source)
    for name in ("link.csv", "../" + tmp_path.name + "/a.csv"):
        with pytest.raises(UserError, match="this is the file that is read"):
            check_target(tmp_path / name, (".csv",), source)


def test_a_folder_that_may_not_be_written_is_said_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after an hour of computing."""
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK))
    with pytest.raises(UserError, match="may not be written"):
        check_target(tmp_path / "a.csv", (".csv",), tmp_path / "b.csv")


def test_a_window_ends_where_its_texts_are_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With each line's end counted; numbers go on from window to window."""
    monkeypatch.setattr(texts, "_MOST_CHARACTERS", 8)
    file = tmp_path / "lines.txt"
    file.write_text("abc\ndef\nghijklmnop\n\nq\n")
    windows = list(open_texts(file).windows(3))
    assert [(window.first, window.texts) for window in windows] == [
        (1, ["abc", "def"]),
        (3, ["ghijklmnop"]),
        (4, ["", "q"]),
    ]
    assert [window.first for window in open_texts(file).windows(1)] == [1, 2, 3, 4, 5]
    assert windows[-1].read_bytes == file.stat().st_size


def test_a_record_without_text_keeps_its_number(tmp_path: Path) -> None:
    """It is read as an empty one, and is told from it."""
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "a"}\n{"text": null}\n{"text": ""}\n{"text": "b"}\n')
    (window,) = open_texts(file).windows(9)
    assert window.texts == ["a", None, "", "b"]
    assert window.words == ["a", "", "", "b"]


def test_how_far_a_file_is_read_never_goes_back_nor_past_what_was_read() -> None:
    """Readers are a block ahead of what they have given out."""
    block = BLOCK_BYTES
    assert texts._position(100, 40) == 40
    assert texts._position(100, 100 + block) == 100
    assert texts._position(100, 500 + block) == 500


@pytest.mark.parametrize("name", ["s.jsonl", "s.csv", "s.parquet"])
def test_a_full_disk_is_told_with_the_place_and_what_to_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It once was `[Errno 28] No space left on device` and no more."""
    (path := tmp_path / name).write_text("an earlier result")
    # Every byte that is written there is refused as on a full disk.
    monkeypatch.setattr(results, "_place_beside", lambda _: nullcontext(Path("/dev/full")))
    with pytest.raises(StageError, match=f"{name}: .* No space left on device.* make room"):
        written(path, ROWS * 2000)
    assert path.read_text() == "an earlier result"
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_is_no_place_for_results(tmp_path: Path) -> None:
    """They get its name when they are whole: it would be gone, and its reader wait for ever."""
    (source := tmp_path / "texts.txt").write_text("a\n")
    os.mkfifo(pipe := tmp_path / "s.csv")
    with pytest.raises(UserError, match="no regular file"):
        check_target(pipe, (".csv",), source)


def test_half_of_a_surrogate_pair_is_named_with_its_file(tmp_path: Path) -> None:
    (source := tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "x\\ud800"}\n')
    with pytest.raises(UserError, match=r"a\.jsonl: text 2 holds half .*\\ud800 at character 1"):
        list(open_texts(source).windows(9))
