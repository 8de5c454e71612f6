"""A folder's tokenizer is told to add nothing, and what its files link to stays as it is."""

import json
from pathlib import Path

from tokenizers import Tokenizer

from tasks.tokenizing.bpe import save_tokenizer, train_bpe
from tasks.tokenizing.specials import leave_out_specials

FILES = ("tokenizer.json", "tokenizer_config.json")


def test_nothing_is_added_and_linked_files_are_left_alone(tmp_path: Path) -> None:
    """The stored tokenizer, to which a model's folder links, is that of other runs too."""
    save_tokenizer(train_bpe(["größer und größer"] * 3, 300, 2, 32), tmp_path / "stored")
    folder = tmp_path / "model"
    folder.mkdir()
    for name in FILES:
        (folder / name).symlink_to(tmp_path / "stored" / name)
    before = {name: (tmp_path / "stored" / name).read_bytes() for name in FILES}

    leave_out_specials(folder)

    assert {name: (tmp_path / "stored" / name).read_bytes() for name in FILES} == before
    assert not any((folder / name).is_symlink() for name in FILES)
    whole, bare = (
        Tokenizer.from_file(str(place / "tokenizer.json"))
        for place in (tmp_path / "stored", folder)
    )
    expected = whole.encode("größer <mask>", add_special_tokens=False)
    found = bare.encode("größer <mask>")
    assert found.ids == expected.ids
    assert bare.encode(" größer", "x").ids == [
        *whole.encode(" größer", add_special_tokens=False).ids,
        *whole.encode("x", add_special_tokens=False).ids,
    ]
    assert bare.encode(" größer").offsets[0][0] == 1


def test_the_settings_name_the_class_that_takes_the_file_as_it_is(tmp_path: Path) -> None:
    """All others stay."""
    save_tokenizer(train_bpe(["a"], 261, 2, 32), tmp_path)
    before = json.loads((tmp_path / "tokenizer_config.json").read_text())
    leave_out_specials(tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == {
        **before,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
    }
