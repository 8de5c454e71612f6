"""What would fail in a late stage, as far as config and files can tell, is refused at once."""

from pathlib import Path
from typing import Any

import pytest

from tasks.config import Config
from tasks.errors import UserError
from tasks.stages import check_outside


def config(folder: Path, **parts: Any) -> Config:
    return Config.model_validate(
        {"corpus": [{"type": "docs"}], "pack": {"row_tokens": 64}, "store": str(folder), **parts}
    )


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"model": {"num_heads": 3}}, "model: 3 attention heads"),
        ({"model": {"max_row_tokens": 16}}, "model.max_row_tokens is 16.* 64 tokens"),
        ({"model": {"width": 8, "num_heads": 8}}, "heads at least 2 wide"),
        (
            {"engine": {"launch": {"accelerate_config": "absent.yaml"}}},
            "accelerate_config: there is no file absent.yaml",
        ),
        ({"tokenizer": {"from": "{folder}"}}, "is not a byte-level BPE"),
        ({"evaluate": {"blimp": {"data": "{folder}"}}}, "nonsense"),
        ({"evaluate": {"examples": ["fine <mask>", "no mask"]}}, "examples.1: there is no mask"),
        ({"evaluate": {"examples": ["word " * 80 + "<mask>"]}}, "examples.0: the text has 81"),
    ],
)
def test_it_is_refused(tmp_path: Path, parts: dict[str, Any], said: str) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    (tmp_path / "nonsense.jsonl").write_text('{"no": "pair"}\n')

    def placed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: placed(item) for key, item in value.items()}
        return value.format(folder=tmp_path) if isinstance(value, str) else value

    wrong = config(tmp_path, **{key: placed(value) for key, value in parts.items()})
    with pytest.raises(UserError, match=said):
        check_outside(wrong)
    if not {"tokenizer", "model", "engine"} & parts.keys():
        check_outside(wrong, until="pretrain")  # what is not run need not be right


def test_a_sound_config_passes(tmp_path: Path) -> None:
    check_outside(config(tmp_path, evaluate={"examples": ["A [MASK].", "<mask> <mask>"]}))
