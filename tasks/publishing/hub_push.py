"""A model folder as one commit to a repository of the hub, made private where it is new.

    there? ──▶ the very files, by their sizes: nothing is sent
           ──▶ another model: refused, or replaced: weights that this one has not, and what an
               earlier push has put there, are deleted
           ──▶ neither: added, over files of the same names; what else lies there stays

The commit names the one that was looked at as its parent: where somebody commits in between, the
hub refuses it.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.config.addresses import redacted
from tasks.errors import RobertaError, StageError, UserError
from tasks.publishing.pushed_index import INDEX, LAST, another_is_there, index_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi

HUB = "hf://"
_WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json")


class Repository:
    """A model's repository on the hub.

    Args:
        url: `hf://user/name`.

    Raises:
        UserError: the name is none or carries a secret, or there is no token.
    """

    def __init__(self, url: str) -> None:
        if redacted(url) != url:
            raise UserError(
                f"--to: {redacted(url)} carries a secret, which others could read wherever it is "
                "told. Take it out of the address, and set the token as HF_TOKEN."
            )
        self.url, self.name = url, url.removeprefix(HUB).strip("/")
        if self.name.count("/") != 1:
            raise UserError(f"{url}: the hub's addresses are {HUB}user/name.")
        self._token = os.environ.get("HF_TOKEN") or ""
        if not self._token:
            raise UserError(f"{url}: the hub needs a token with write access. Set it as HF_TOKEN.")

    def take(self, folder: Path, index: Mapping[str, Any], *, replace: bool) -> str:
        """Make it hold a folder: `pushed`, or `there` where it did.

        Args:
            folder: The files.
            index: What `files.json` among them says.
            replace: Put them in the place of another model.

        Raises:
            UserError: another model is there.
            StageError: the hub refused or could not be reached.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

        with self._told():
            api = HfApi(token=self._token)
            api.create_repo(self.name, private=True, exist_ok=True)
            info = api.model_info(self.name, files_metadata=True)
            there = {file.rfilename: file.size for file in info.siblings or ()}
            known = self._index(api, str(info.sha)) if INDEX in there else {}
            sizes = {name: entry["bytes"] for name, entry in index["files"].items()}
            if known == index and sizes.items() <= there.items():
                return "there"
            if LAST in there and not replace:
                raise UserError(another_is_there(self.url))
            known_files = known.get("files", {})
            old = {n for n in there if n in known_files or n.endswith(_WEIGHTS)} - sizes.keys()
            added = [CommitOperationAdd(path.name, str(path)) for path in sorted(folder.iterdir())]
            api.create_commit(
                self.name,
                [*(CommitOperationDelete(name) for name in sorted(old)), *added],
                commit_message="A model, checked",
                parent_commit=info.sha,
            )
        return "pushed"

    def _index(self, api: "HfApi", commit: str) -> dict[str, Any]:
        """What was pushed there, by its own word."""
        with tempfile.TemporaryDirectory() as folder:
            path = api.hf_hub_download(self.name, INDEX, revision=commit, local_dir=folder)
            return index_of(Path(path).read_bytes())

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the library raises as one paragraph, without the token."""
        try:
            yield
        except RobertaError:
            raise
        except Exception as problem:  # of the library, of httpx, of the hub: none is ours
            reason = redacted(str(problem)).replace(self._token, "***").split("\n")[0]
            raise StageError(
                f"{self.url}: the hub did not take it: {type(problem).__name__}: {reason} A "
                "commit is taken whole or not at all; the same command finds out, or tries again."
            ) from problem
