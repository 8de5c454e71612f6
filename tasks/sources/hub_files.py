"""Evaluation sets and labelled data by their addresses on the Hugging Face hub.

    hf://datasets/USER/NAME[@REVISION][/PATH] ──▶ a commit ──▶ the library's cache ──▶ a local path

A folder is all its files of one commit. A process asks the hub once for each address, so all that
it does is about one state; what is computed is known by the files' content, as of local ones.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from tasks.errors import TransientError, UserError

_ADDRESS = re.compile(
    r"hf://datasets/(?P<set>[\w.-]+/[\w.-]+)(@(?P<at>[\w.%-]+))?(/(?P<path>[^?#]*))?"
)


def on_this_machine(data: str, field: str) -> Path:
    """Where data lie: a path as it is written, what is on the hub after it was fetched.

    Args:
        data: A path, or an address of the hub.
        field: What names it, for messages.

    Raises:
        UserError: there is no such dataset or path on the hub, or it may not be read.
        TransientError: the hub cannot be reached, and what is kept of it is not all of it.
    """
    if not data.startswith("hf://"):
        return Path(os.path.expanduser(data))
    address = _ADDRESS.fullmatch(data)
    path = (address["path"] or "").strip("/") if address else ""
    if address is None or ".." in path.split("/"):
        # It is not repeated: what was meant as one may hold a token.
        raise UserError(
            f"{field}: this is no dataset's address. Write hf://datasets/USER/NAME/PATH, with "
            "@REVISION after the name for a state of it; a token belongs in HF_TOKEN."
        )
    with _explained(data, field):
        return _fetched(address["set"], unquote(address["at"] or "") or None, path)


@cache
def _fetched(dataset: str, revision: str | None, path: str) -> Path:
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        info = HfApi().dataset_info(dataset, revision=revision)
    except (HfHubHTTPError, ValueError):
        raise
    except Exception:  # there is no way to the hub
        if path and (kept := _kept(dataset, revision, path)) is not None:
            return kept
        raise
    names = [each.rfilename for each in info.siblings or ()]
    wanted = [name for name in names if name == path or name.startswith(f"{path}/" if path else "")]
    if not wanted:
        raise UserError(
            f"there is no {path!r} in it, which has {', '.join(sorted(names)[:8]) or 'no files'}"
            + (" …" if len(names) > 8 else "")
        )
    # The cache knows by its branch what was asked for by it, so that it is found without the hub.
    at = revision if wanted == [path] else info.sha
    for name in wanted:
        found = hf_hub_download(dataset, name, repo_type="dataset", revision=at)
    return Path(found).parents[name.count("/")] / path


def _kept(dataset: str, revision: str | None, path: str) -> Path | None:
    """A file that was fetched before. It is all of it; of a folder nobody could know that."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(dataset, path, repo_type="dataset", revision=revision)
    return Path(found) if isinstance(found, str) else None


@contextmanager
def _explained(data: str, field: str) -> Iterator[None]:
    """Sort the library's many failures into the user's mistakes, the disk's and the hub's."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except UserError as problem:
        raise UserError(f"{field}: {data}: {problem}. Correct the address.") from None
    except HfHubHTTPError as problem:
        status = problem.response.status_code
        kind = _transient if status == 429 or status >= 500 else _wrong
        raise kind(data, field, problem) from problem
    except ValueError as problem:
        raise _wrong(data, field, problem) from problem
    except OSError as problem:
        if problem.errno is not None and not isinstance(problem, ConnectionError | TimeoutError):
            raise
        raise _transient(data, field, problem) from problem
    except Exception as problem:
        raise _transient(data, field, problem) from problem


def _transient(data: str, field: str, problem: Exception) -> TransientError:
    return TransientError(
        f"{field}: {data}: the hub cannot be reached ({first_line(problem)}). What was finished "
        "is kept; run the same command again, or name a file of this machine."
    )


def _wrong(data: str, field: str, problem: Exception) -> UserError:
    return UserError(
        f"{field}: {data} cannot be read ({first_line(problem)}). Check user, name and revision; "
        "a private dataset wants HF_TOKEN in the environment."
    )


def first_line(problem: Exception) -> str:
    """What the hub's library says first, for a sentence of ours."""
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return lines[0].rstrip(". ")
