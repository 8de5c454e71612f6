"""What a key knows: one spelling of every value, versions of what decides the bytes."""

import hashlib
import unicodedata
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel
from toy_stage import ToySlice, toy_stages

from tasks.config import Config, Execution, Section
from tasks.engine import identity
from tasks.engine.identity import (
    canonical,
    canonical_json,
    digest_of,
    digest_of_json,
    file_digest,
    flatten,
    key_of,
)
from tasks.engine.runner import run_stage
from tasks.engine.stores import open_store
from tasks.engine.units import StoredFile

CONFIG = Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": 1}})


def test_a_library_that_decides_the_bytes_is_part_of_both_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another version nothing is served or taken over that the old one made."""
    store = open_store(str(tmp_path))
    first, _ = toy_stages(ToySlice(numbers=[1, 2]))
    before = run_stage(replace(first, libraries=("ftfy", "unicode")), CONFIG, store)
    monkeypatch.setattr(metadata, "version", lambda _: "99")
    after = run_stage(replace(first, libraries=("ftfy", "unicode")), CONFIG, store)
    assert after.state == "done"
    assert not {unit.key for unit in before.artifact.units} & {u.key for u in after.artifact.units}
    assert before.artifact.manifest["libraries"]["ftfy"] != "99"
    assert after.artifact.manifest["libraries"]["ftfy"] == "99"


def test_of_pyarrow_only_the_major_version_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It decides how files are laid out; a patch release must not recompute a corpus."""
    monkeypatch.setattr(metadata, "version", lambda _: "26.7.8")
    assert identity.library_versions(("pyarrow", "tokenizers")) == {
        "pyarrow": "26",
        "tokenizers": "26.7.8",
    }


@dataclass(frozen=True)
class Pair:
    right: Any
    left: Any


class Plain(BaseModel):
    b: int


class Tool(Section):
    speed: Annotated[int, Execution()] = 1
    size: float = 2.5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": {"d": None, "c": True}}, '{"a":{"c":true,"d":null},"b":1}'),
        ({"x": (1, [2, 3])}, '{"x":[1,[2,3]]}'),
        ([1, 1.0, "1", True], '[1,1.0,"1",true]'),
        ("\u00e9\n", '"\\u00e9\\n"'),
        (Pair(2, (1,)), '{"left":[1],"right":2}'),
        (Tool(speed=9), '{"size":2.5}'),
        ({"tools": [Tool(size=1.0)]}, '{"tools":[{"size":1.0}]}'),
        (StoredFile("/a/b", "abc", 3, rows=2, stamp=(1,)), '"sha256:abc"'),
        (Plain(b=1), '{"b":1}'),
        ([], "[]"),
        (0, "0"),
    ],
)
def test_a_value_has_one_spelling(value: Any, text: str) -> None:
    """Keys in order, no spaces; a number, its text and a truth are three values."""
    assert canonical_json(value) == text
    assert digest_of(value) == hashlib.sha256(text.encode()).hexdigest()


def test_a_file_counts_by_its_content_and_not_by_its_place() -> None:
    one = StoredFile("/a", "abc", 3)
    assert digest_of(one) == digest_of(StoredFile("s3://b/c", "abc", 3, rows=7))
    assert digest_of(one) != digest_of(StoredFile("/a", "abd", 3))


def test_the_order_of_a_list_is_part_of_it_and_that_of_a_mapping_is_not() -> None:
    assert digest_of([1, 2]) != digest_of([2, 1])
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert list(canonical({"b": 1, "a": {"d": 1, "c": 2}})) == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [1, {"b": {1}}]}, r"value\.a\[1\]\.b: a set has no stable form"),
        ({"a": {1: 2}}, r"value\.a: the key 1 is not text"),
        ([float("inf")], r"value\[0\]: inf has no stable JSON form"),
        ([-float("inf")], r"value\[0\]: -inf has no stable JSON form"),
        (b"x", r"value: a bytes has no stable form"),
        (bytearray(b"x"), r"value: a bytearray has no stable form"),
        (Pair, r"value: a type has no stable form"),
        (StoredFile, r"value: a type has no stable form"),
        (Pair(1, Path("x")), r"value\.left: a \w+Path has no stable form"),
    ],
)
def test_a_value_without_a_spelling_is_refused_by_its_place(value: Any, where: str) -> None:
    with pytest.raises(TypeError, match=where):
        canonical(value)


def test_plain_json_has_the_digest_of_its_canonical_form() -> None:
    plain = {"b": [1, {"z": 1.5, "y": "\u00e9"}], "a": None}
    assert digest_of_json(plain) == digest_of(plain)
    for wrong in (float("nan"), {"a": {1}}):
        with pytest.raises((TypeError, ValueError)):
            digest_of_json(wrong)


def test_a_key_is_the_first_sixteen_digits() -> None:
    """Folders of every store in use have such names."""
    known = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert digest_of({}) == known
    assert key_of({}) == "44136fa355b3678a"


def test_nested_values_become_dotted_paths() -> None:
    assert flatten({"a": {"b": [1, {"c": 2}], "d": {}}, "e": [], "f": "x"}) == {
        **{"a.b.0": 1, "a.b.1.c": 2, "a.d": {}},
        **{"e": [], "f": "x"},
    }
    assert flatten(3) == {"": 3}


def test_the_character_database_is_a_library_too() -> None:
    assert identity.library_versions(["unicode"]) == {"unicode": unicodedata.unidata_version}


def test_a_digest_is_that_of_all_bytes(tmp_path: Path) -> None:
    """Of an empty file, one of a block and a byte, and one that ends in the last block."""
    for size in (0, 3, 1 << 20, (1 << 20) + 1):
        content = bytes(range(256)) * (size // 256) + b"abcdefgh"[: size % 256]
        (tmp_path / "file").write_bytes(content)
        assert file_digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()
