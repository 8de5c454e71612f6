"""From paths to a config: looks, sizes, and writes what is not there yet."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.engine.files import cannot_write_file, create_whole
from tasks.engine.progress import describe_bytes
from tasks.errors import UserError
from tasks.starting.config_text import config_text
from tasks.starting.listing import Listing, list_files
from tasks.starting.scripts import is_unspaced, scripts_of
from tasks.starting.sizes import Sizes, suitable_sizes
from tasks.starting.survey import AT_SENTENCE_ENDS, ChooseColumn, Found, survey, total_of

_LITTLE_BYTES = 1_000_000
_MOST_NAMED = 3


@dataclass(frozen=True)
class Request:
    """What somebody wants a config for.

    Attributes:
        paths: Files and folders of text.
        name: Of the model.
        target: Where the config will stand.
        column: The field that holds the text, where it is known.
        choose: Asked for it, where it is not.
    """

    paths: Sequence[Path]
    name: str
    target: Path
    column: str | None
    choose: ChooseColumn

    def look(self) -> "Survey":
        """What lies there.

        Raises:
            UserError: a path is missing, nothing there is text that can be read, or no file has
                the field that was named.
        """
        listing = list_files(self.paths)
        found = survey(listing, self.choose, self.column)
        if not found:
            raise UserError(_nothing(self.paths, listing))
        if self.column is not None:
            _require_column(self.column, found)
        return Survey(self, listing, found)


def _read_how(key: str, value: object) -> str:
    """A field of a source's reading, for people: an expression is told by what it does."""
    if value == AT_SENTENCE_ENDS:
        return "wrapped: a document ends where a line ends a sentence"
    return f"{key} {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}"


@dataclass(frozen=True)
class Survey:
    """What lies there, for a request."""

    request: Request
    listing: Listing
    found: Sequence[Found]

    def told(self) -> list[str]:
        """It in a line for each source, named by its files, and one for what is left out."""
        lines = []
        for source in self.found:
            how = ", ".join(_read_how(key, value) for key, value in source.how.items())
            formats = " and ".join(f"{n:,} {form}" for form, n in source.formats.most_common())
            formats = formats if len(source.files) > 1 else formats.removeprefix("1 ")
            lines.append(
                f"{_named(source)}: {formats}, about {source.size['documents']:,} documents, "
                f"{describe_bytes(source.size['bytes'])} of text" + (f" ({how})" if how else "")
            )
        if total_of(self.found)["bytes"] < _LITTLE_BYTES:
            lines.append("this is little text: a model learns next to nothing from less than 1 MB")
        if self.listing.left_out:
            count = len(self.listing.left_out)
            first = list(self.listing.left_out.items())[:_MOST_NAMED]
            which = "; ".join(f"{path}: {why}" for path, why in first)
            more = "; …" if count > len(first) else ""
            lines.append(f"{count:,} left out, as the config says: {which}{more}")
        return lines


def _named(source: Found) -> str:
    """The file that a source is, or the globs that match its files."""
    names = [str(source.files[0])] if len(source.files) == 1 else source.paths
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


@dataclass(frozen=True)
class MadeConfig:
    """A config's text, and what it comes to."""

    survey: Survey
    sizes: Sizes
    text: str

    def to_json(self, path: Path) -> dict[str, Any]:
        """What was found and chosen, as plain JSON."""
        listing = self.survey.listing
        return {
            "path": str(path),
            "sources": [
                {"paths": source.paths, **source.size, "reading": source.how}
                for source in self.survey.found
            ],
            "left_out": {str(path): why for path, why in listing.left_out.items()},
            "parameters": self.sizes.parameters,
            "minutes": self.sizes.minutes,
        }


def make_config(seen: Survey, minutes: float) -> MadeConfig:
    """The config for what was seen and the minutes that a whole run may take on this machine."""
    import torch

    from tasks.training.costs import matmul_flops

    is_gpu = torch.cuda.is_available()
    scripts = scripts_of(text for source in seen.found for text in source.texts)
    sizes = suitable_sizes(
        total_of(seen.found)["bytes"],
        minutes,
        # What else runs on the machine just now slows it down.
        max(matmul_flops("auto", "cuda" if is_gpu else "cpu") for _ in range(3)),
        is_gpu=is_gpu,
        is_unspaced=is_unspaced(scripts),
        cores=os.cpu_count() or 1,
    )
    request = seen.request
    left_out = seen.listing.left_out
    text = config_text(request.name, seen.found, left_out, sizes, minutes, request.target)
    return MadeConfig(seen, sizes, text)


def write_new(path: Path, text: str) -> None:
    """Write a config where nothing is yet.

    Raises:
        UserError: something is there, or the place may not be written.
        StageError: the disk is full, or fails.
    """
    try:
        is_new = create_whole(path, text.encode())
    except OSError as problem:
        raise cannot_write_file(path, problem) from problem
    if not is_new:
        raise UserError(f"{path}: there is one already. Name another by --out, or move it away.")


def _require_column(column: str, found: Sequence[Found]) -> None:
    """Refuse a name that none has: another field would be trained on without a word.

    Raises:
        UserError: none of the sources has the field.
    """
    fields = list(dict.fromkeys(name for source in found for name in source.fields))
    if column not in fields:
        there = (
            f"they have {', '.join(map(repr, fields[:20]))}" if fields else "they have no fields"
        )
        raise UserError(
            f"--column: none of the files has a field {column!r}; {there}. Correct the name, or "
            "leave it out."
        )


def _nothing(paths: Sequence[Path], listing: Listing) -> str:
    """Why there is nothing to make a config of."""
    where = ", ".join(map(str, paths))
    if not listing.left_out:
        return f"{where}: there are no files in it. Put text there, or name another folder."
    reasons = list(listing.left_out.items())
    shown = "; ".join(f"{path}: {why}" for path, why in reasons[:3])
    more = f"; and {len(reasons) - 3:,} more" if len(reasons) > 3 else ""
    hint = "Convert it to text, JSON Lines or CSV, or name another folder"
    if any(why.startswith("which field") for why in listing.left_out.values()):
        hint = "Name the field that holds the text by --column"
    elif any("may not be read" in why for why in listing.left_out.values()):
        hint = "Make it readable, or name another folder"
    return f"{where}: nothing in it is text that can be read ({shown}{more}). {hint}."
