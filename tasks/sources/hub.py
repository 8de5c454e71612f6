"""Datasets of the Hugging Face hub, or local dataset folders, read as a stream.

Nothing of a dataset is run as code, and a token comes only from where the hub's own library
looks for it (HF_TOKEN, or its login).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.config.corpus import HubSource
from tasks.config.places import check_found, is_hub_name
from tasks.engine.outside import outside_file
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitWork
from tasks.errors import RobertaError, TransientError, UserError
from tasks.formats.columns import validate_columns
from tasks.formats.damage import explained
from tasks.formats.json_records import text_of
from tasks.sources.hub_files import first_line
from tasks.sources.parts import DocumentParts
from tasks.sources.sink import DocumentSink
from tasks.sources.sizes import INFLATION, Size, guessed
from tasks.sources.source import RunUnits, SourceResult, TextSource


class HubDataset(TextSource[HubSource]):
    """A dataset, each of its files in a unit."""

    def externals(self) -> dict[str, StoredFile]:
        """The files of a local folder; those on the hub stay what was read first."""
        folder = describe_folder(self.config)
        return {f"{self.prefix} {name}": file for name, file in folder.items()}

    def read(self, run_units: RunUnits) -> SourceResult:
        """One unit for each part."""
        folder = describe_folder(self.config)
        check_columns(folder)
        total = num_parts(self.config)
        # Units do not know what belongs to later stages: a new name must not read it again.
        known = HubSource.model_validate(self.config.reading_identity())
        same = {"hub": known, "folder": folder, "num_parts": total}
        units = [Unit(self.documents_label(part), same | {"part": part}) for part in range(total)]
        return SourceResult(run_units(read_dataset, units))

    def estimate(self) -> Size:
        """By the folder's size, or by the limit; nothing is asked of the hub."""
        folder = local_folder(self.config)
        if self.config.max_bytes is None and folder is not None:
            return guessed(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
        return guessed(int((self.config.max_bytes or 0) / INFLATION))


def local_folder(source: HubSource) -> Path | None:
    """The folder of a local dataset; None for a name on the hub."""
    if is_hub_name("dataset", source.dataset):
        return None
    folder = Path(os.path.expanduser(source.dataset))
    return folder if folder.is_dir() else None


def describe_folder(source: HubSource) -> dict[str, StoredFile]:
    """The files of a local dataset folder by relative path; empty for a name on the hub.

    Names count here: the library tells splits by them.
    """
    root = local_folder(source)
    if root is None:
        return {}
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    check_found((os.path.realpath(path) for path in files), "corpus.dataset")
    return {
        path.relative_to(root).as_posix(): outside_file(path)
        for path in files
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    }


def check_columns(folder: Mapping[str, StoredFile]) -> None:
    """Look through the Arrow and Parquet files of a local dataset before its library does.

    It believes them, and one wrong offset would end the process.

    Raises:
        UserError: one is damaged.
    """
    for file in folder.values():
        try:
            with file.local().open("rb") as stream:
                validate_columns(stream)
        except Exception as problem:
            raise explained(problem, file.url, 0) from problem


def num_parts(source: HubSource) -> int:
    """Into how many units a dataset is split: one for each of its files.

    A dataset that is read only up to a limit is one unit, because the limit is on the whole.

    Raises:
        UserError: there is no such dataset, subset or split, or access is refused.
        TransientError: the hub cannot be reached.
    """
    if source.max_documents is not None or source.max_bytes is not None:
        return 1
    with _explained(source):
        return max(1, int(_open(source).num_shards))


def read_dataset(
    work: UnitWork,
    *,
    hub: HubSource,
    folder: dict[str, StoredFile],
    part: int,
    num_parts: int,
) -> UnitReport:
    """Write one part of a dataset's text into `<label>.arrow`.

    `folder` holds the files of a local dataset, so that the unit is known by their content.

    Raises:
        UserError: as `num_parts`, or the records hold no such text field.
        StageError: the hub failed.
    """
    with _explained(hub), DocumentParts(work) as writer:
        sink = DocumentSink(writer, hub.errors)
        for number, text in enumerate(_texts(hub, part, num_parts)):
            size = len((text or "").encode("utf-8", "replace"))
            if hub.max_bytes is not None and writer.num_bytes + size > hub.max_bytes:
                break
            sink.add(text, f"{hub.dataset}, record {number:,}")
    return sink.report(parts=[[[0, hub.dataset]]])


def _open(source: HubSource) -> Any:
    from datasets import load_dataset_builder
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    dataset = os.path.expanduser(source.dataset)
    if Path(dataset, "state.json").is_file():
        raise UserError(
            f"{source.dataset}: this was written by `save_to_disk`. Read its .arrow files by a "
            "source of `type: files`."
        )
    builder = load_dataset_builder(dataset, source.subset, revision=source.revision)
    files = builder.config.data_files or {}
    check_data_files(source, [str(file) for split in files.values() for file in split])
    return builder.as_streaming_dataset(split=source.split)


def check_data_files(source: HubSource, files: Sequence[str]) -> None:
    """Refuse what a dataset's card names outside the dataset: it could be any file of ours.

    Raises:
        UserError: names the file.
    """
    found = local_folder(source)
    folder, is_local = (found or Path()).absolute(), found is not None
    for file in files:
        # A member of an archive is written zip://member::/path/of/archive.zip.
        place = file.rpartition("::")[2].removeprefix("file://")
        inside = Path(os.path.normpath(place)).is_relative_to(os.path.normpath(folder))
        if not (
            is_local and "://" not in place and inside or not is_local and place[:5] == "hf://"
        ):
            raise UserError(
                f"{source.dataset}: the dataset's card (README.md, `data_files`) names {file}, "
                "which is no file of the dataset. Nothing of it was read; correct the card, or "
                "name the file in a source of its own."
            )


def _texts(hub: HubSource, part: int, num_parts: int) -> Iterator[str | None]:
    dataset = _open(hub)
    if num_parts > 1:
        dataset = dataset.shard(num_shards=num_parts, index=part, contiguous=True)
    for number, record in enumerate(islice(dataset, hub.max_documents)):
        yield text_of(record, hub.text_field, f"{hub.dataset}, record {number:,}")


@contextmanager
def _explained(source: HubSource) -> Iterator[None]:
    """Sort the library's many failures into the user's mistakes and the hub's."""
    try:
        yield
    except RobertaError:
        raise
    except (ConnectionError, TimeoutError) as problem:
        raise TransientError(
            f"{source.dataset}: the hub cannot be reached ({first_line(problem)}). What was "
            "finished is kept; run the same command again."
        ) from problem
    except OSError as problem:
        if problem.errno is not None and not isinstance(problem, FileNotFoundError):
            raise
        raise _wrong(source, problem) from problem
    except Exception as problem:
        raise _wrong(source, problem) from problem


def _wrong(source: HubSource, problem: Exception) -> UserError:
    return UserError(
        f"{source.dataset}: the dataset cannot be read ({first_line(problem)}). Check the "
        "source's `dataset`, `subset`, `split` and `revision`; a private one wants HF_TOKEN."
    )
