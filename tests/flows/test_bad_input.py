"""What a user sees when something is wrong: one paragraph, the right exit code, nothing lost."""

import gzip
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from command import Command, Done
from tiny_pipeline import write_config


def complain(done: Done, code: int, *words: str) -> None:
    """The paragraph holds the words, and no traceback or progress bar surrounds it."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    paragraph = done.err[done.err.index("roberta: ") :]
    assert len(paragraph) < 1500
    for word in words:
        assert word in paragraph, paragraph


def with_source(folder: Path, source: dict[str, Any], **changes: Any) -> Path:
    """The tiny config with another corpus."""
    return write_config(folder, corpus=[{"name": "texts", **source}], **changes)


def texts(number: int) -> list[str]:
    """Different sentences of some length."""
    return [
        f"Sentence number {n} tells the reader of {n * 7} ships and {n * 13} sailors at sea."
        for n in range(number)
    ]


def jsonl(rows: list[str]) -> bytes:
    return "".join(json.dumps({"text": row}) + "\n" for row in rows).encode()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pretrain": {"bach_rows": 3}}, ["tiny.yaml", "pretrain.bach_rows", "batch_rows"]),
        ({"pack": {"row_tokens": "many"}}, ["tiny.yaml", "pack.row_tokens"]),
        ({"corpus": []}, ["tiny.yaml", "corpus"]),
    ],
)
def test_a_wrong_config(
    tmp_path: Path, roberta: Command, changes: dict[str, Any], words: list[str]
) -> None:
    """The key, the file and the nearest right key are named before anything starts."""
    complain(roberta("run", write_config(tmp_path, **changes)), 2, *words)
    assert not (tmp_path / "store").exists()


def test_wrong_arguments(tmp_path: Path, roberta: Command) -> None:
    """A stage, an override, a file or a model that does not exist; nothing is made for it."""
    config = write_config(tmp_path)
    complain(roberta("run", config, "--until", "pretrian"), 2, "pretrian", "pretrain")
    complain(roberta("run", config, "--set", "pack.row_token=5"), 2, "did you mean", "row_tokens")
    complain(roberta("run", tmp_path / "absent.yaml"), 2, "absent.yaml")
    complain(roberta("fill-mask", tmp_path, "A <mask>."), 2, str(tmp_path))
    asked = ("--suite", "blimp-fast", "--store", tmp_path / "store")
    complain(roberta("evaluate", tmp_path, *asked), 2, "this is no model folder")
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_files_that_cannot_be_used(tmp_path: Path, roberta: Command) -> None:
    """Missing, of the wrong field, empty, corrupt: the file is named; mended, the run goes on."""
    path = tmp_path / "text.jsonl.gz"
    source = {"type": "files", "paths": [str(path)]}
    config = with_source(tmp_path, source, tokenizer={"vocab_size": 300})
    complain(roberta("run", config), 2, path.name)
    path.write_bytes(gzip.compress(jsonl([])))
    complain(roberta("run", config), 2, "empty", "paths")
    path.write_bytes(gzip.compress(jsonl(texts(400)).replace(b'"text"', b'"txet"')))
    complain(roberta("run", config), 2, path.name, "text", "txet")
    whole = gzip.compress(jsonl(texts(400)))
    path.write_bytes(whole[: len(whole) // 2])
    done = roberta("run", config)
    assert done.code in (1, 2)
    complain(done, done.code, path.name)
    path.write_bytes(whole)
    done = roberta("run", config, "--until", "clean", "--json")
    assert done.code == 0, done.err
    ledger = roberta("ledger", config, "--json").json
    assert ledger["stages"][0]["documents"]["in"] == 400


@pytest.mark.slow
def test_files_that_are_no_text(tmp_path: Path, roberta: Command) -> None:
    """A web page among the texts ends `plan` and `run` alike: what it is and what to do."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/page.html").write_text("<p>markup</p>")
    (tmp_path / "in/rows.csv").write_text("id,body\n1,one\n")
    config = with_source(tmp_path, {"type": "files", "paths": [str(tmp_path / "in")]})
    for command in ("plan", "run"):
        complain(roberta(command, config), 2, "page.html", "a web page", "`format: text`")
    (tmp_path / "in/page.html").unlink()
    complain(roberta("run", config), 2, "rows.csv", "'text'", "'id', 'body'", "`text_field`")


def test_a_corpus_smaller_than_a_row(tmp_path: Path, roberta: Command) -> None:
    """The user learns that the text is too little, and where the limit comes from."""
    (tmp_path / "text.jsonl").write_bytes(jsonl(texts(2)))
    source = {"type": "files", "paths": [str(tmp_path / "text.jsonl")], "held_out": 0.0}
    check = {"max_tokens_per_word": None}
    config = with_source(
        tmp_path, source, tokenizer={"vocab_size": 262, "check": check}, pack={"row_tokens": 2048}
    )
    done = roberta("run", config)
    complain(done, done.code, "row")
    assert done.code in (1, 2)


class Faulty(BaseHTTPRequestHandler):
    """Answers as the test asks: 500, other bytes, or the right ones."""

    mode = "good"
    body = b""

    def do_HEAD(self) -> None:
        self.answer(False)

    def do_GET(self) -> None:
        self.answer(True)

    def answer(self, with_body: bool) -> None:
        if self.mode == "500":
            self.send_error(500)
            return
        body = self.body.replace(b"ships", b"sheep") if self.mode == "wrong" else self.body
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


@contextmanager
def serving(body: bytes) -> Iterator[str]:
    """A server on this machine; the URL of its one file."""
    Faulty.body = body
    server = ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/text.jsonl"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.slow
def test_a_server_that_misbehaves(tmp_path: Path, roberta: Command) -> None:
    """500 and wrong bytes end the run with the URL; then it goes on."""
    from hashlib import sha256

    body = jsonl(texts(200))
    with serving(body) as url:
        source = {
            "type": "http",
            "urls": [{"url": url, "sha256": sha256(body).hexdigest()}],
            "attempts": 2,
            "backoff_seconds": 0.05,
        }
        config = with_source(tmp_path, source)
        for mode in ("500", "wrong"):
            Faulty.mode = mode
            complain(roberta("run", config, "--until", "download"), 1, url)
        Faulty.mode = "good"
        done = roberta("run", config, "--until", "download", "--json")
    assert done.code == 0, done.err


@pytest.mark.slow
def test_no_space_on_the_disk(tmp_path: Path, roberta: Command) -> None:
    """A full disk ends the run in a paragraph; with space it goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        config = write_config(tmp_path, store=str(disk / "store"))
        done = roberta("run", config, "--until", "clean")
        complain(done, 1, "space")
        subprocess.run(["mount", "-o", "remount,size=60m", str(disk)], check=True)
        done = roberta("run", config, "--until", "clean", "--json")
        assert done.code == 0, done.err
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def test_a_store_that_cannot_be_written(tmp_path: Path, roberta: Command) -> None:
    """A file where the store should be is the user's mistake."""
    (tmp_path / "taken").write_text("")
    complain(roberta("run", write_config(tmp_path), "--store", tmp_path / "taken"), 2, "taken")


def test_what_a_late_stage_lacks_is_said_before_the_first_one_runs(
    tmp_path: Path, roberta: Command
) -> None:
    """A typing error in the evaluation's folder costs no training: plan and run say it at once."""
    config = write_config(tmp_path, evaluate={"blimp": {"data": str(tmp_path / "blmip")}})
    for command in ("plan", "run"):
        complain(roberta(command, config), 2, "evaluate.blimp", "blmip")
    assert not list((tmp_path / "store").glob("1-download"))


@pytest.mark.parametrize("command", ["plan", "run"])
def test_what_fails_in_the_last_stage_is_said_before_the_first(
    tmp_path: Path, roberta: Command, command: str
) -> None:
    """Hours of cleaning before a typing error in an example are hours lost; see check_outside."""
    config = write_config(tmp_path, evaluate={"examples": ["no mask"]})
    complain(roberta(command, config), 2, "evaluate.examples.0", "<mask>")
    assert not list((tmp_path / "store").glob("*-download"))


def test_a_gpu_that_is_not_there_is_refused_before_hours_of_other_work(
    tmp_path: Path, roberta: Command
) -> None:
    """And is a remark of the plan's, which may be made on another machine."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    config = write_config(tmp_path, engine={"launch": {"device": "gpu"}})
    complain(roberta("run", config), 2, "engine.launch.device", "no GPU")
    assert not list((tmp_path / "store").glob("*-download"))
    planned = roberta("plan", config, "--json")
    assert planned.code == 0
    assert "no GPU" in planned.json["remarks"][0]


def test_a_file_that_ends_early_is_named_by_plan(tmp_path: Path, roberta: Command) -> None:
    """A library's end-of-file error is not Ctrl-C."""
    whole = gzip.compress(jsonl(texts(2000)))
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    config = with_source(tmp_path, {"type": "files", "paths": ["cut.jsonl.gz"]})
    complain(roberta("plan", config), 2, "cut.jsonl.gz", "damaged or cut short")
