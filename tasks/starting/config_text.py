"""The config that `roberta init` writes: YAML with a comment wherever a reader would ask why."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tasks.config.corpus import FilesSource
from tasks.config.load import validate
from tasks.engine.progress import describe_bytes
from tasks.starting.listing import suffix_of
from tasks.starting.scripts import is_unspaced, language_of, scripts_of
from tasks.starting.sizes import Sizes
from tasks.starting.survey import Found, total_of

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_UNFIT_IN_LABELS = re.compile(r"[^A-Za-z0-9._ -]+")
_MOST_NAMED = 5
_SMALL_BYTES, _TINY_BYTES = 20_000_000, 2_000_000


def config_name(paths: Sequence[Path]) -> str:
    """A name for the config: that of the first folder or file, as far as a name may have it.

    >>> config_name([Path("our letters/2024.jsonl.gz")]), config_name([Path("/")])
    ('2024', 'corpus')
    """
    path = Path(os.path.abspath(paths[0]))
    name = path.name if path.is_dir() else path.name.split(".")[0]
    return _UNFIT.sub("-", name).strip("-._")[:60] or "corpus"


def config_text(
    name: str,
    found: Sequence[Found],
    left_out: Mapping[Path, str],
    sizes: Sizes,
    minutes: float,
    out: Path,
) -> str:
    """The config for some sources and sizes, with what was seen beside it.

    Args:
        name: Of the model.
        found: The sources.
        left_out: The files that are not read, with why.
        sizes: What suits them.
        minutes: The time that the whole run may take.
        out: Where it will stand: the paths of sources are made relative to that folder.
    """
    total = total_of(found)
    texts = [text for source in found for text in source.texts]
    scripts = scripts_of(texts)
    language = language_of(texts) if scripts.get("Latin", 0) > 0.5 else None
    shown_out = _comment(str(out))
    lines = [
        f"# {total['documents']:,} documents, {describe_bytes(total['bytes'])} of text, about "
        f"{_millions(sizes.tokens)} tokens; sized for {minutes:g} minutes in all on this machine.",
        f"#   roberta plan {shown_out}    what it will do, and what it will cost",
        f"#   roberta run {shown_out}",
        "# docs/configuration.md has every field.",
        f"name: {name}",
        "corpus:",
    ]
    for source, called in zip(found, source_labels(found), strict=True):
        lines += _source_lines(source, total["bytes"], out.parent, called)
    lines += _left_out_lines(left_out)
    if scripts:
        shares = ", ".join(f"{script} {share:.0%}" for script, share in scripts.items())
        lines.append(f"# Scripts, by letters: {shares}.")
    lines += _size_lines(sizes)
    if not is_unspaced(scripts):
        lines.append("  # masking: {whole_word: true} asks for whole words: harder, learnt slower")
    if "engine" in sizes.sections:
        lines += [
            "engine:",
            "  launch: {processes: 2}        # share two cores better than threads do",
        ]
    lines += [
        "evaluate:",
        "  held_out: {max_rows: 512}",
        '  # examples: ["Dear <mask>,"]  # texts of your own to be filled in the report',
    ]
    if language is not None:
        lines += ["publish:", f"  language: {language}"]
    else:
        lines.append("# publish: {language: en, licence: ours}")
    text = "\n".join(lines) + "\n"
    validate(yaml.safe_load(text), str(out))
    return text


def source_labels(found: Sequence[Found]) -> list[str | None]:
    """What accounts shall call each source: its folder, and its ending where that is not enough.

    None where it is the only one, or is told apart by its one path as well.
    """
    if len(found) == 1:
        return [None]
    usual = [FilesSource(paths=tuple(each.paths)).default_name(in_full=False) for each in found]
    folders = [_folder_of(each) for each in found]
    labels: list[str] = []
    for source, own, folder in zip(found, usual, folders, strict=True):
        if usual.count(own) == 1 and len(source.paths) == 1:
            labels.append("")
        elif folders.count(folder) == 1:
            labels.append(folder)
        else:
            labels.append(_label(f"{folder} {suffix_of(source.files[0]).strip('.')}"))
    return [label if label and labels.count(label) == 1 else None for label in labels]


def _folder_of(source: Found) -> str:
    """The name of the folder that all its files are in."""
    return _label(Path(os.path.commonpath([file.parent.absolute() for file in source.files])).name)


def _label(text: str) -> str:
    """A text as far as a source's name may have it."""
    return _UNFIT_IN_LABELS.sub("-", text).strip("-._ ")[:60]


def _source_lines(
    source: Found, all_bytes: int, folder: Path, called: str | None = None
) -> list[str]:
    held_out = 0.05 if all_bytes < _TINY_BYTES else 0.02 if all_bytes < _SMALL_BYTES else 0.01
    formats = " and ".join(f"{count:,} {form}" for form, count in source.formats.most_common())
    seen = f"{formats}: about {source.size['documents']:,} documents"
    lines = [
        f"  # {seen}, {describe_bytes(source.size['bytes'])} of text",
        "  - type: files",
        *([] if called is None else [f"    name: {_scalar(called)}"]),
        "    paths:",
    ]
    lines += [f"      - {_scalar(_placed(path, folder))}" for path in source.paths]
    comments = {
        "text_field": f"# of {_comment(', '.join(source.fields[:12]))}",
        "separator": {
            "line": "# each line is a document; blank_line, file",
            "file": "# each file is a document; blank_line, line",
        }.get(str(source.how.get("separator")), "# wrapped: where a line ends a sentence"),
        "encoding": "# guessed for each file",
        "exclude": "# members that no reader is for",
        "format": "# quotes are plain characters in it",
    }
    for key, value in source.how.items():
        lines.append(f"    {f'{key}: {_scalar(value)} ':<28}{comments[key]}")
    lines.append(f"    {f'held_out: {held_out}':<28}# kept from training, to score the model on")
    return lines


def _placed(path: str, folder: Path) -> str:
    """A glob as it reads from the folder of the config; `**` is a part like any other here."""
    return path if os.path.isabs(path) else os.path.relpath(path, folder)


def _left_out_lines(left_out: Mapping[Path, str]) -> list[str]:
    """What is not read, by the reason."""
    lines = []
    for why, count in Counter(left_out.values()).most_common():
        names = [path.name for path, reason in left_out.items() if reason == why]
        more = ", ..." if count > _MOST_NAMED else ""
        named = _comment(", ".join(names[:_MOST_NAMED]))
        lines.append(f"# Left out, {count:,} ({_comment(why)}): {named}{more}")
    return lines


def _size_lines(sizes: Sizes) -> list[str]:
    model = dict(sizes.sections["model"])
    seen = sizes.seen / sizes.tokens
    return [
        "tokenizer:",
        f"  vocab_size: {sizes.sections['tokenizer']['vocab_size']}",
        "pack:",
        f"  row_tokens: {sizes.sections['pack']['row_tokens']}               # the longest text "
        "that the model will read, in tokens",
        "model:                          # the largest that learns something in the time: "
        f"{_millions(sizes.parameters)} weights",
        *_yaml_lines(model),
        "pretrain:",
        f"  # sees about {_millions(sizes.seen)} tokens: the text {seen:.2g} times",
        *_yaml_lines(sizes.sections["pretrain"]),
    ]


def _yaml_lines(values: Mapping[str, Any]) -> list[str]:
    return [f"  {key}: {_scalar(value)}" for key, value in values.items()]


def _scalar(value: Any) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _comment(text: str) -> str:
    """Text that cannot end the comment it stands in, nor steer what shows it."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _millions(number: float) -> str:
    return f"{number / 1e6:,.1f} M" if number < 1e8 else f"{number / 1e6:,.0f} M"
