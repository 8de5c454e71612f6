"""The download stage on the real engine: files, http and docs into one artifact."""

import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from small_corpus import times_of

from tasks.config import Config
from tasks.documents import Document, read_documents
from tasks.engine.records import Artifact
from tasks.engine.runner import Outcome, run_stage
from tasks.engine.stores import open_store
from tasks.errors import StageError, UserError
from tasks.stages import check_outside
from tasks.stages.download_corpus import DOWNLOAD


def run(store: Path, *corpus: dict[str, Any], workers: int = 1, force: bool = False) -> Outcome:
    config = Config(name="test", corpus=list(corpus), engine={"workers": workers})
    return run_stage(DOWNLOAD, config, open_store(str(store)), force="again" if force else None)


def documents(artifact: Artifact) -> list[Document]:
    files = artifact.files("documents/", ".arrow")
    return [document for file in files for document in read_documents(file.local())]


def write(folder: Path, **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Tests stay quiet."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address it is served at."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_files_and_http_give_one_artifact_that_says_where_all_came_from(
    tmp_path: Path, web: tuple[Path, str]
) -> None:
    """Names, digests and counts are in the summary; fetched bytes are kept but not handed on."""
    folder = write(tmp_path / "texts", a="one\n\ntwo", b="three")
    lines = [json.dumps({"text": f"remote {n}"}) + "\n" for n in range(3)]
    (web[0] / "far.jsonl").write_text("".join(lines) + '{"text": ""}\n')
    outcome = run(
        tmp_path / "store",
        {"type": "files", "name": "near", "paths": str(folder)},
        {"type": "http", "name": "far", "urls": f"{web[1]}/far.jsonl"},
    )
    artifact = outcome.artifact
    found = {document.text for document in documents(artifact)}
    assert found == {"one", "two", "three", "remote 0", "remote 1", "remote 2"}
    paths = [path for path, _ in artifact.outputs]
    assert paths == [f"documents/{n}.arrow" for n in ("00-00000", "00-00001", "01-00000")]
    balance = artifact.ledger.to_json()["documents"]
    assert balance == {"in": 7, "kept": 6, "dropped": {"empty": 1}}
    assert [s["documents"] for s in artifact.summary["sources"]] == [3, 3]
    origins = {Path(file["name"]).name: file for file in artifact.summary["files"]}
    assert set(origins) == {"a.txt", "b.txt", "far.jsonl"}
    assert origins["far.jsonl"]["label"] == "documents/01-00000"
    assert all(len(file["sha256"]) == 64 for file in origins.values())


def test_the_path_of_an_address_says_what_is_there(tmp_path: Path, web: tuple[Path, str]) -> None:
    """A table behind a query is a table; a web page is refused before anything is fetched."""
    (web[0] / "rows.csv").write_text('text,n\n"one, two",1\n')
    table = {"type": "http", "urls": f"{web[1]}/rows.csv?page=.html"}
    found = documents(run(tmp_path / "store", table).artifact)
    assert [document.text for document in found] == ["one, two"]
    (web[0] / "page.html").write_text("<p>markup</p>")
    page = {"type": "http", "urls": [f"{web[1]}/rows.csv", f"{web[1]}/page.html?format=csv"]}
    with pytest.raises(UserError, match=r"page.html\?format=csv: by its ending \(.html\)"):
        run(tmp_path / "other", page)
    assert not (tmp_path / "other").exists()
    as_it_is = run(tmp_path / "other", page | {"urls": page["urls"][1], "format": "text"})
    assert [document.text for document in documents(as_it_is.artifact)] == ["<p>markup</p>"]


def test_a_second_run_asks_the_server_for_nothing(tmp_path: Path, web: tuple[Path, str]) -> None:
    """What was fetched stays, even when the server is gone; force asks again."""
    (web[0] / "a.txt").write_text("as it was")
    source = {"type": "http", "urls": f"{web[1]}/a.txt", "attempts": 1}
    run(tmp_path / "store", source)
    (web[0] / "a.txt").write_text("as it is now")
    assert run(tmp_path / "store", source).state == "cached"
    forced = run(tmp_path / "store", source, force=True)
    assert [document.text for document in documents(forced.artifact)] == ["as it is now"]


def test_renamed_files_change_nothing(tmp_path: Path) -> None:
    """Content is identity: other names in another folder are a cache hit."""
    one = write(tmp_path / "one", a="first", b="second")
    two = write(tmp_path / "two", y="second", z="first")
    before = run(tmp_path / "store", {"type": "files", "paths": str(one)})
    after = run(tmp_path / "store", {"type": "files", "paths": str(two)})
    assert (before.state, after.state) == ("done", "cached")


def test_a_new_ending_that_reads_otherwise_is_not_a_cache_hit(tmp_path: Path) -> None:
    """The same bytes read as lines of JSON are another corpus."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text('{"text": "inner"}\n')
    source = {"type": "files", "paths": str(folder)}
    run(tmp_path / "store", source)
    (folder / "a.txt").rename(folder / "a.jsonl")
    outcome = run(tmp_path / "store", source)
    assert outcome.state == "done"
    assert [document.text for document in documents(outcome.artifact)] == ["inner"]


def test_one_more_file_reads_only_that_file(tmp_path: Path) -> None:
    """Units of files that were there are taken over from the earlier artifact."""
    folder = write(tmp_path / "in", **{f"t{n}": f"text number {n}" for n in range(5)})
    source = {"type": "files", "paths": str(folder)}
    first = run(tmp_path / "store", source).artifact
    write(folder, new="something new")
    second = run(tmp_path / "store", source).artifact
    assert len(second.units) == 6
    assert {unit.key for unit in first.units} < {unit.key for unit in second.units}
    old = {unit.key: unit.provenance for unit in first.units}
    assert sum(unit.provenance == old.get(unit.key) for unit in second.units) == 5


def test_a_name_or_a_source_before_it_reads_nothing_anew(tmp_path: Path) -> None:
    """Neither its name nor its place in the list is part of a source's units."""
    source = {"type": "files", "paths": str(write(tmp_path / "in", a="one", b="two"))}
    other = {"type": "files", "paths": str(write(tmp_path / "other", c="three"))}
    first = run(tmp_path / "store", source).artifact
    renamed = run(tmp_path / "store", source | {"name": "letters"})
    assert renamed.artifact.digest == first.digest
    assert renamed.artifact.summary["sources"][0]["name"] == "letters"
    second = run(tmp_path / "store", other, source).artifact
    old = times_of(first)
    computed = [unit.label for unit in second.units if unit.provenance != old.get(unit.key)]
    assert computed == ["documents/00-00000"]
    assert times_of(renamed.artifact) == old


def test_moved_text_is_made_of_the_same_documents(tmp_path: Path) -> None:
    """Split among files, merged, reordered, in another source and format: the same ids."""
    lines = [f"text number {n}" for n in range(30)]
    one = write(tmp_path / "one", a="\n\n".join(lines))
    two = write(tmp_path / "two", **{f"t{n}": "\n".join(lines[n::3]) for n in range(3)})
    before = run(tmp_path / "store", {"type": "files", "paths": str(one)}).artifact
    source = {"type": "files", "name": "x", "paths": str(two), "separator": "line"}
    after = run(tmp_path / "store", source).artifact
    ids = [{document.id for document in documents(artifact)} for artifact in (before, after)]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 30


def test_many_small_files_share_units(tmp_path: Path) -> None:
    """Two hundred files are sixteen units or fewer; one more changes a single one of them."""
    folder = write(tmp_path / "in", **{f"t{n}": f"text number {n}" for n in range(200)})
    source = {"type": "files", "paths": str(folder)}
    first = run(tmp_path / "store", source).artifact
    assert len(first.units) <= 16
    write(folder, new="something new")
    second = run(tmp_path / "store", source).artifact
    before = {document.id for document in documents(first)}
    after = {document.id for document in documents(second)}
    assert len(before) == 200
    assert before < after
    assert len({unit.key for unit in second.units} - {unit.key for unit in first.units}) == 1


def test_equal_files_are_two_documents_with_one_id(tmp_path: Path) -> None:
    """What a document says is what it is; copies are for the clean stage to find."""
    folder = write(tmp_path / "in", a="the same", b="the same")
    found = documents(run(tmp_path / "store", {"type": "files", "paths": str(folder)}).artifact)
    assert [document.text for document in found] == ["the same"] * 2
    assert len({document.id for document in found}) == 1


def test_the_number_of_workers_changes_no_byte(tmp_path: Path) -> None:
    """One process or two: the same outputs under the same digest."""
    folder = write(tmp_path / "in", **{f"t{n}": f"text {n}\n\nand more" for n in range(8)})
    source = {"type": "files", "paths": str(folder)}
    digests = {
        run(tmp_path / f"store{workers}", source, workers=workers).artifact.digest
        for workers in (1, 2)
    }
    assert len(digests) == 1


def test_docs_become_documents(tmp_path: Path) -> None:
    """The docstrings of one installed package, capped."""
    source = {"type": "docs", "packages": ["click"], "standard_library": False}
    artifact = run(tmp_path / "store", source | {"max_bytes": 40_000}).artifact
    total = sum(len(document.text.encode()) for document in documents(artifact))
    assert 20_000 < total <= 40_000
    assert run(tmp_path / "store", source | {"max_bytes": 40_000}).state == "cached"


def test_docs_as_they_are_written_are_another_corpus(tmp_path: Path) -> None:
    """The option is part of the key and of the units' payload: changing it reads all anew."""
    source = {"type": "docs", "packages": ["click"], "standard_library": False}
    prose, raw = (
        run(tmp_path / "store", source | {"max_bytes": 40_000, "prose": prose}).artifact
        for prose in (True, False)
    )
    assert prose.key != raw.key
    assert not any("\n    " in document.text for document in documents(prose))
    assert any("\n    " in document.text for document in documents(raw))


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        ("\n \n", {}, UserError, "the corpus is empty: 0 records"),
        ("text", {"paths": "nowhere/*"}, UserError, "no file matches 'nowhere/"),
        ('{"body": "x"}', {"format": "jsonl"}, UserError, "did you mean 'body'"),
    ],
)
def test_bad_input_ends_in_one_paragraph(
    text: str, options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    """The error names the stage; the store holds no artifact after it."""
    folder = write(tmp_path / "in", a=text)
    with pytest.raises(error, match=message) as caught:
        run(tmp_path / "store", {"type": "files", "paths": str(folder)} | options)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "store").rglob("manifest.json"))


def test_a_misspelt_path_is_found_before_anything_is_started() -> None:
    """A run looks for it while its server is still starting, and reads none of the other files."""
    sources = [{"type": "files", "paths": __file__}, {"type": "files", "paths": "nowhere/*"}]
    with pytest.raises(UserError, match=r"corpus\.1: no file matches 'nowhere/"):
        check_outside(Config(name="test", corpus=sources))


def test_a_missing_remote_file_leaves_the_other_sources_units(
    tmp_path: Path, web: tuple[Path, str]
) -> None:
    """What was finished is kept, and the next run goes on from there."""
    folder = write(tmp_path / "in", a="near")
    near = {"type": "files", "paths": str(folder)}
    far = {"type": "http", "urls": f"{web[1]}/late.txt"}
    with pytest.raises((UserError, StageError), match="answered 404"):
        run(tmp_path / "store", near, far)
    kept = list((tmp_path / "store").rglob("units/*.json"))
    assert len(kept) == 1
    (web[0] / "late.txt").write_text("far")
    assert len(documents(run(tmp_path / "store", near, far).artifact)) == 2


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    """Nothing would tell them apart in the accounts; nor would it two that are all the same."""
    source = {"type": "files", "name": "same", "paths": str(write(tmp_path / "in", a="x"))}
    with pytest.raises(UserError, match="2 sources are named 'same'"):
        run(tmp_path / "store", source, source)
    with pytest.raises(UserError, match="2 sources are named 'in"):
        run(tmp_path / "store", *[{"type": "files", "paths": str(tmp_path / "in")}] * 2)


WHOLE = {"separator": "file", "encoding": "auto"}
REAL = [
    ("babylm_2024/*.jsonl.gz", {}, 987),
    ("babylm_2024/switchboard.train.gz", {"separator": "line"}, 18_000),
    ("babylm_2023/train_10M/*", {"separator": "line"}, 127_740),
    ("reuters/reuters.jsonl.gz", {}, 10_657),
    ("novels/novels.jsonl.zst", {}, 81),
    ("novels/Dickens_Bleak_1853.txt.gz", {"separator": "line"}, 33_100),
    ("nltk/movie_reviews.zip", {"separator": "file", "exclude": ["*README"]}, 2_000),
    ("nltk/state_union.zip", WHOLE, 66),
    ("wikitext2/*", {"separator": "line"}, 8_118),
    ("unicode/unicode_samples.zip", WHOLE | {"format": "text"}, 3),
    ("unicode/ftfy_in_the_wild.json", {"text_field": "original"}, 70),
    ("multilingual/udhr2.zip", {"separator": "file"}, 388),
]


@pytest.mark.parametrize(("paths", "options", "records"), REAL)
def test_real_corpora_hold_as_many_records_as_they_should(
    paths: str, options: dict[str, Any], records: int, shared_data: Path, tmp_path: Path
) -> None:
    """Counted against the list that came with the data; nothing is skipped, all is balanced."""
    source = {"type": "files", "paths": str(shared_data / "corpus" / paths)} | options
    artifact = run(tmp_path / "store", source).artifact
    balance = artifact.ledger["documents"]
    assert balance.taken == records
    assert balance.kept == len(documents(artifact))
    assert set(balance.dropped) <= {"empty"}
