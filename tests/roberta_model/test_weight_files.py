"""Files of weights that cannot be read: whose fault it is."""

import errno
from pathlib import Path

import pytest

from roberta_model import weight_files
from roberta_model.weight_files import WeightFiles


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        ("unable to mmap: Cannot allocate memory (12)", OSError, "too little memory"),
        ("header too large", ValueError, "this file is damaged"),
    ],
)
def test_too_little_memory_is_no_damage(
    said: str, kind: type[Exception], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sound file was called damaged, and the user told that it was a mistake of theirs."""

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError(said)

    (tmp_path / "model.safetensors").write_bytes(b"")
    monkeypatch.setattr(weight_files, "safe_open", refuse)
    with pytest.raises(kind, match=told) as caught, WeightFiles(tmp_path):
        pass
    assert getattr(caught.value, "errno", None) == (errno.ENOMEM if kind is OSError else None)
