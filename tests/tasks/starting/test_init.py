"""`roberta init`: what a folder holds, and a config of it that `plan` accepts and `run` runs."""

import csv
import gzip
import json
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pytest
import yaml
from click.testing import CliRunner, Result
from letters import write_texts
from tiny_pipeline import run_all

from flows.cli import roberta
from tasks.config.load import load_config
from tasks.engine.stores import open_store
from tasks.errors import UserError
from tasks.inspection.plan import make_plan
from tasks.sources.table import estimate_corpus, open_sources
from tasks.starting.listing import list_files
from tasks.starting.sizes import suitable_sizes

SAID = "It was a joy from the first minute to the last, and that was all of it."


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder of its own."""
    monkeypatch.chdir(tmp_path)


def init(*arguments: Any, answers: str | None = None) -> Result:
    command = roberta.get_command(click.Context(roberta), "init")
    assert command is not None
    return CliRunner().invoke(command, list(map(str, arguments)), answers, catch_exceptions=False)


def planned(path: str) -> list[str]:
    """The files that a config reads, after `plan` has looked at it."""
    config = load_config(path)
    plans = make_plan(config, open_store(config.store))
    assert [plan.action for plan in plans] == ["run"] * len(plans)
    files = [source._files() for source in open_sources(config.corpus)]  # type: ignore[attr-defined]
    return sorted(Path(file.name).name for source in files for file in source)


def write_jsonl(path: Path, field: str = "text", count: int = 30) -> None:
    rows = [{"id": str(n), field: f"{SAID} No {n}."} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def mixed(folder: Path) -> None:
    """Seven kinds of files that are read in five ways, and nine that are not read."""
    (folder / "mail/old").mkdir(parents=True)
    (folder / "tables").mkdir()
    write_jsonl(folder / "mail/a.jsonl", "body")
    write_jsonl(folder / "mail/old/b.jsonl", "body")
    write_jsonl(folder / "c.jsonl", "text")
    (folder / "notes.txt").write_text(f"{SAID}\n\n{SAID} Again.\n" * 20)
    with gzip.open(folder / "lines.txt.gz", "wt") as file:
        file.write(f"{SAID} So much for this line.\n" * 50)
    (folder / "latin.txt").write_bytes(f"{SAID} Größe, früh.\n\n{SAID}\n".encode("cp1252"))
    with (folder / "tables/t.tsv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([["n", "said"], *[[n, SAID] for n in range(9)]])
    (folder / "tables/q.tsv").write_text(f'n\tsaid\n1\t"Ah\n2\t{SAID}\n3\t{SAID} "\n')
    with zipfile.ZipFile(folder / "packed.zip", "w") as archive:
        archive.writestr("one.txt", SAID)
        archive.writestr("page.html", "<p>markup</p>")
    # Not read:
    (folder / "empty.txt").touch()
    (folder / "README.md").write_text("What this is.")
    (folder / "settings.yaml").write_text("a: 1")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "data.bin").write_bytes(bytes(range(256)) * 8)
    (folder / "page.txt").write_text("<html><body>" + "<p>a <b>b</b></p>" * 50)
    (folder / "torn.parquet").write_bytes(b"PAR1 and no more")
    rows = [{"first": SAID, "second": SAID[::-1]}]
    (folder / "which.json").write_text(json.dumps(rows))
    (folder / "torn.gz").write_bytes(gzip.compress(SAID.encode() * 99)[:40])


LEFT_OUT = {
    "empty.txt": "empty",
    "README.md": "says something about the rest",
    "settings.yaml": "settings",
    "photo.jpg": "an image",
    "data.bin": "no text",
    "page.txt": "its text is markup",
    "torn.parquet": "the data are damaged",
    "which.json": "which field holds the text is unclear: first, second",
    "torn.gz": "the data are damaged",
}


def test_a_mixed_folder_becomes_sources_that_read_each_file_as_it_is(tmp_path: Path) -> None:
    """By format, field, encoding and separator; what is not read is named with the reason."""
    mixed(tmp_path / "in")
    told = json.loads(init("in", "--out", "in.yaml", "--minutes", 2, "--json").stdout)
    assert {Path(path).name for path in told["left_out"]} == set(LEFT_OUT)
    for path, why in told["left_out"].items():
        assert why.startswith(LEFT_OUT[Path(path).name]), (path, why)

    config = load_config("in.yaml")
    read = [
        (source.text_field, source.separator, source.encoding, source.format, source.exclude)
        for source in config.corpus
        if source.type == "files"
    ]
    assert sorted(map(str, read)) == sorted(
        map(
            str,
            [
                ("body", "blank_line", "utf-8", "auto", ()),
                ("text", "blank_line", "utf-8", "auto", ()),
                ("text", "blank_line", "auto", "auto", ()),
                ("text", "line", "utf-8", "auto", ()),
                ("said", "blank_line", "utf-8", "auto", ()),
                ("said", "blank_line", "utf-8", "tsv_unquoted", ()),
                ("text", "file", "auto", "auto", ("*.html",)),
            ],
        )
    )
    assert planned("in.yaml") == sorted(
        ["a.jsonl", "b.jsonl", "c.jsonl", "notes.txt", "latin.txt", "lines.txt.gz"]
        + ["t.tsv", "q.tsv", "packed.zip"]
    )
    # What was estimated is what there is, and every record can be read.
    assert estimate_corpus(config.corpus)["bytes"] > 10_000
    text = Path("in.yaml").read_text()
    assert "# Left out, 1 (an image): photo.jpg" in text
    assert config.publish.language == "en"


def test_a_config_in_the_folder_it_is_about_does_not_read_itself(tmp_path: Path) -> None:
    """With no PATH it is the working folder; a store that a run made there is not read either."""
    write_jsonl(tmp_path / "a.jsonl")
    (tmp_path / "artifacts/1-download/key").mkdir(parents=True)
    write_jsonl(tmp_path / "artifacts/1-download/key/b.jsonl")
    done = init("--out", "mine.yaml", "--minutes", 1)
    assert "a.jsonl: jsonl, about 30 documents" in done.stdout
    assert "this is little text" in done.stdout
    assert "next: roberta plan mine.yaml" in done.stdout
    assert planned("mine.yaml") == ["a.jsonl"]
    write_jsonl(tmp_path / "later.jsonl")
    (tmp_path / "artifacts").rename(tmp_path / "gone")
    with pytest.raises(UserError, match="there is one already"):
        init("--out", "mine.yaml", "--minutes", 1)


def test_paths_are_those_of_the_configs_own_folder(tmp_path: Path) -> None:
    """A config elsewhere finds the same files, with names that globs would misread."""
    (tmp_path / "a [1]").mkdir()
    (tmp_path / "deep/er").mkdir(parents=True)
    write_jsonl(tmp_path / "a [1]" / "x*y.jsonl")
    write_jsonl(tmp_path / "a [1]" / "z.jsonl", "said")
    init("a [1]", "--out", "deep/er/c.yaml", "--minutes", 1)
    assert planned("deep/er/c.yaml") == ["x*y.jsonl", "z.jsonl"]
    source = yaml.safe_load(Path("deep/er/c.yaml").read_text())["corpus"][0]
    assert all(path.startswith("../../a [[]1]/") for path in source["paths"])


def test_a_column_that_no_file_has_is_refused(tmp_path: Path) -> None:
    """With it misspelt the likeliest field was taken, and nothing said so."""
    (tmp_path / "q.jsonl").write_text(json.dumps({"text": SAID, "story": SAID[::-1]}) + "\n")
    with pytest.raises(UserError, match="no.* field 'storie'; they have 'text', 'story'"):
        init("q.jsonl", "--column", "storie")
    (tmp_path / "p.txt").write_text(SAID)
    with pytest.raises(UserError, match="no.* field 'storie'; they have no fields"):
        init("p.txt", "--column", "storie")


def test_the_field_and_the_time_are_asked_for_at_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what cannot be told; `--column` and `--minutes` answer beforehand."""
    (tmp_path / "q.json").write_text(json.dumps([{"first": SAID, "second": SAID[::-1]}] * 20))
    with pytest.raises(UserError, match="Name the field that holds the text by --column"):
        init("q.json")
    given = json.loads(init("q.json", "--column", "second", "--out", "g.yaml", "--json").stdout)
    assert given["sources"][0]["reading"] == {"text_field": "second"}

    import flows.commands.init as module

    monkeypatch.setattr(module, "_is_terminal", lambda: True)
    done = init("q.json", answers="first\n3\n")
    assert "q.json has the fields first, second" in done.stdout
    config = load_config("q.yaml")
    assert config.corpus[0].model_dump()["text_field"] == "first"
    assert "sized for 3 minutes" in Path("q.yaml").read_text()


# The files of a folder; None where there is no folder.
ODD: dict[str, tuple[dict[str, bytes] | None, str]] = {
    "nothing there": (None, "there is no such file or folder"),
    "an empty folder": ({}, "there are no files in it"),
    "binaries only": (
        {"a.bin": bytes(256), "b.png": b""},
        "nothing in it is text that can be read .*a.bin: no text.*Convert it",
    ),
    "archives of nothing": (
        {"a.zip": b"PK\x05\x06" + bytes(18)},
        "there is no member in this archive",
    ),
    "torn JSON": (
        {"a.jsonl": b"{'text'"},
        "nothing in it is text that can be read .*no field with text was seen in it",
    ),
}


def test_damage_that_looks_like_text_is_no_defect(tmp_path: Path) -> None:
    """A table in a tar, and columns whose names are no text: one is read, the other left out."""
    (tmp_path / "in").mkdir()
    table = pa.table({"text": [SAID] * 20, "zzzz": [SAID] * 20})
    with pa.ipc.new_file(tmp_path / "t.arrow", table.schema) as writer:
        writer.write_table(table)
    with tarfile.open(tmp_path / "in/a.tar", "w") as archive:
        archive.add(tmp_path / "t.arrow", "t.arrow")
    broken = (tmp_path / "t.arrow").read_bytes().replace(b"zzzz", b"zz\xff\xff")
    (tmp_path / "in/b.arrow").write_bytes(broken)
    told = json.loads(init("in", "--minutes", 1, "--json").stdout)
    assert [Path(path).name for path in told["left_out"]] == ["b.arrow"]
    assert planned("in.yaml") == ["a.tar"]


@pytest.mark.parametrize("case", ODD)
def test_an_odd_folder_gets_one_clear_paragraph(case: str, tmp_path: Path) -> None:
    """What is there and what to do; nothing is written."""
    files, message = ODD[case]
    if files is not None:
        (tmp_path / "odd").mkdir()
    for name, content in (files or {}).items():
        (tmp_path / "odd" / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        init("odd", "--minutes", 1)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*.yaml"))


def test_what_may_not_be_read_is_said() -> None:
    """A file and a folder without permission, beside one that may be read."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "closed").mkdir()
        for name in ("a.jsonl", "b.jsonl", "closed/c.jsonl"):
            write_jsonl(folder / name)
        folder.chmod(0o755)
        (folder / "b.jsonl").chmod(0)
        (folder / "closed").chmod(0)
        with _as_nobody():
            found = list_files([folder])
        (folder / "closed").chmod(0o755)
    assert list(found.files) == [folder / "a.jsonl"]
    assert set(found.left_out) == {folder / "b.jsonl", folder / "closed"}
    assert set(found.left_out.values()) == {"may not be read"}


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Without root's right to read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_sizes_grow_with_time_machine_and_text() -> None:
    """The quickstart's model for minutes on two cores, base for a day on a GPU; never too large."""

    def parameters(megabytes: float, minutes: float, flops: float, gpu: bool = False) -> int:
        return suitable_sizes(
            int(megabytes * 1e6), minutes, flops, is_gpu=gpu, is_unspaced=False, cores=2
        ).parameters

    assert parameters(16, 3, 1e12) < 1.5e6
    grown = [parameters(500, minutes, 1e12) for minutes in (3, 60, 600, 6000)]
    assert grown == sorted(grown)
    assert grown[0] < grown[1] < grown[-1]
    assert 80e6 < parameters(5000, 1440, 6e14, gpu=True) < 150e6
    assert parameters(1, 6000, 6e14, gpu=True) < 3e6
    little = suitable_sizes(10_000, 60, 1e12, is_gpu=False, is_unspaced=False, cores=2)
    assert little.minutes < 5
    assert little.seen <= 40 * little.tokens


@pytest.mark.parametrize("name", ["gutenberg_genres", "reuters", "multilingual", "wikitext2"])
def test_real_folders_get_configs_that_plan_accepts(
    name: str, shared_data: Path, tmp_path: Path
) -> None:
    """Every file is read or named as left out."""
    folder = shared_data / "corpus" / name
    told = json.loads(init(folder, "--out", "c.yaml", "--minutes", 5, "--json").stdout)
    left_out = {Path(path).name for path in told["left_out"]}
    assert {*planned("c.yaml"), *left_out} == {p.name for p in folder.rglob("*") if p.is_file()}
    assert left_out <= {"udhr.zip"}  # of which some files are in encodings that cannot be told


@pytest.mark.slow
@pytest.mark.parametrize("name", ["babylm_2023", "babylm_2024", "nltk", "novels", "web"])
def test_more_real_folders(name: str, shared_data: Path) -> None:
    """The larger ones."""
    init(shared_data / "corpus" / name, "--out", "c.yaml", "--minutes", 5, "--yes")
    assert planned("c.yaml")


@pytest.mark.parametrize("until", ["pack", pytest.param(None, marks=pytest.mark.slow)])
def test_what_init_writes_is_run(until: str | None, tmp_path: Path) -> None:
    """Two formats, to packed rows and to the end; it asks for a larger training."""
    (tmp_path / "letters").mkdir()
    write_texts(tmp_path / "letters" / "a.jsonl", 0, 150)
    (tmp_path / "letters" / "b.txt").write_text(f"{SAID}\n\n" + f"{SAID[::-1]} so.\n\n")
    init("letters", "--minutes", 1, "--yes")
    smaller = ["pretrain.steps=4", "pretrain.batch_rows=4", "engine.launch.processes=1"]
    smaller += ["tokenizer.vocab_size=400", "model.width=32", "clean.dedup.near=null"]
    smaller += ["pack.row_tokens=32", "engine.launch.threads=1", "engine.workers=1"]
    outcomes = run_all(load_config("letters.yaml", smaller), until)
    assert outcomes["download"].artifact.ledger.balances["documents"].kept == 152
    assert (tmp_path / "artifacts").is_dir()


def test_a_book_that_is_wrapped_by_hand_is_parted_where_lines_end_sentences(tmp_path: Path) -> None:
    """Not a document a line; what is written reads as it was meant, its comment apart."""
    line = "a judge once had the kindness to inform"
    page = f"{line}\nme, as one of a company of men and women.\n{line}\nof\r\nthem, “truly.”\n"
    (tmp_path / "book.txt").write_text(page * 40, encoding="utf-8")
    told = json.loads(init("book.txt", "--out", "b.yaml", "--minutes", 1, "--json").stdout)
    assert told["sources"][0]["documents"] == 80
    said = init("book.txt", "--out", "c.yaml", "--minutes", 1).output
    assert "(wrapped: a document ends where a line ends a sentence)" in said
    assert (
        "}  # wrapped" in Path("b.yaml").read_text() or "} # wrapped" in Path("b.yaml").read_text()
    )
