"""Sealed records: their exact bytes, and that nothing else is taken for one."""

import json

import pytest

from tasks.engine.identity import digest_of_json
from tasks.engine.sealing import FORMAT, check_format, seal, unseal
from tasks.errors import StageError

CONTENT = {"b": [1, 2], "a": "\u00e9"}
DIGEST = digest_of_json({"format": FORMAT, **CONTENT})


def test_a_record_is_readable_and_has_its_format_first_and_its_digest_last() -> None:
    assert seal(CONTENT).decode() == (
        '{\n "format": 4,\n "b": [\n  1,\n  2\n ],\n "a": "\u00e9",\n "digest": "'
        + DIGEST
        + '"\n}\n'
    )


def test_a_dense_record_is_one_line_of_the_same_content() -> None:
    assert seal(CONTENT, dense=True).decode() == (
        '{"format": 4, "b": [1, 2], "a": "\u00e9", "digest": "' + DIGEST + '"}\n'
    )


@pytest.mark.parametrize("dense", [False, True])
def test_a_record_comes_back_as_it_was_sealed(dense: bool) -> None:
    content = unseal(seal(CONTENT, dense=dense))
    assert content == CONTENT
    assert list(content) == ["b", "a"]


@pytest.mark.parametrize("dense", [False, True])
def test_a_record_with_any_byte_altered_is_none(dense: bool) -> None:
    sealed = seal(CONTENT, dense=dense)
    for place in range(len(sealed)):
        altered = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        assert unseal(altered) is None, f"byte {place}"


@pytest.mark.parametrize("dense", [False, True])
def test_a_record_that_was_cut_or_grew_is_none(dense: bool) -> None:
    sealed = seal(CONTENT, dense=dense)
    for length in range(len(sealed)):
        assert unseal(sealed[:length]) is None, f"{length} bytes"
    for grown in (sealed + b"\n", sealed + b" ", b" " + sealed, sealed + sealed):
        assert unseal(grown) is None


@pytest.mark.parametrize(
    "other", [b"", b"[]", b"3", b"null", b"{}", b'"digest"', b"\xff", b"[" * 9999]
)
def test_what_is_no_record_is_none(other: bytes) -> None:
    assert unseal(other) is None
    assert unseal(None) is None


def test_a_record_whose_fields_changed_places_is_none() -> None:
    """The digest knows no order, the bytes do: who compares two manifests compares bytes."""
    record = json.loads(seal(CONTENT))
    record["b"], record["a"] = record.pop("b"), record.pop("a")
    assert unseal((json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()) is None


def test_what_a_later_version_wrote_is_refused_with_both_numbers() -> None:
    with pytest.raises(StageError, match=r"\(record format 5; this version knows 4\)"):
        unseal(seal({**CONTENT, "format": FORMAT + 1}))


def test_a_damaged_record_of_a_later_version_is_only_damaged() -> None:
    sealed = seal({**CONTENT, "format": FORMAT + 1})
    assert unseal(sealed.replace(b"2", b"3", 1)) is None


@pytest.mark.parametrize("number", [1, FORMAT - 1, "4", None])
def test_what_has_another_format_is_made_again(number: object) -> None:
    assert unseal(seal({**CONTENT, "format": number})) is None


def test_the_format_that_is_known_is_not_refused() -> None:
    check_format({"format": 3}, 3, "pointer")
    check_format({}, 1, "pointer")
    check_format({"format": 2}, 3, "pointer")
    with pytest.raises(StageError, match="pointer format 4; this version knows 3"):
        check_format({"format": 4}, 3, "pointer")
    with pytest.raises(StageError, match="format 1; this version knows 0"):
        check_format({}, 0, "pointer")
