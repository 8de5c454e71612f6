"""`corpus:` the list of sources, each with a `type`: files, http, hub or docstrings.

A source says where text is and how to read it. Only that is the download stage's business:
`held_out` and `licence` travel with the source but belong to later stages. Neither its name nor
the paths of local files identify it, because the content does.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from tasks.config.addresses import VARIABLE, secret_parameter
from tasks.config.base import Execution, LocalPath, Section
from tasks.config.reading import ReadingOptions

_LATER = ("name", "held_out", "licence")
# Fields that came after names were first made; what a source is called must stay.
_UNSAID = {"held_out", "licence", "query_from_env", "max_file_bytes", "private_redirects"}
_UNFIT_FOR_NAMES = re.compile(r"[^A-Za-z0-9._ -]+")
_MAGIC = frozenset("*?[")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class SourceBase(Section):
    """What every source has."""

    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$",
        description="What accounts of a run call it; default: made of what it reads.",
    )
    held_out: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of the source's bytes kept from training, for evaluation; drawn by "
        "what each document says, so it is met as closely as the documents' sizes allow.",
    )
    licence: str | None = Field(None, description="A note for the model card.")

    def reading_identity(self) -> dict[str, Any]:
        """The fields that decide what the download stage makes of this source."""
        return {key: value for key, value in self.identity().items() if key not in _LATER}

    def told_apart_by(self) -> str:
        """What this source reads, in a word or two of the config's."""
        raise NotImplementedError

    def default_name(self, in_full: bool) -> str:
        """A name made of what the source reads; in full, with digits of all that it says.

        It follows from the source alone and never from its place in the list.
        """
        name = _UNFIT_FOR_NAMES.sub("-", self.told_apart_by()).strip("-. _")
        said = self.model_dump_json(exclude=_UNSAID)
        digits = hashlib.sha256(said.encode()).hexdigest()[:6]
        return "-".join([name, digits] if in_full and name else [name or digits])


class FilesSource(SourceBase, ReadingOptions):
    """Files on this machine, plain, compressed or in archives."""

    type: Literal["files"] = "files"
    paths: Annotated[tuple[str, ...], Execution(), LocalPath()] = Field(
        min_length=1,
        description="Globs, files or folders, relative to the config file.",
    )

    def told_apart_by(self) -> str:
        """The last part of the first path without wildcards."""
        fixed = [part for part in self.paths[0].split("/") if not _MAGIC.intersection(part)]
        return next((part for part in reversed(fixed) if part.strip(".~")), self.type)

    @field_validator("paths", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class RemoteFile(Section):
    """One file to fetch, with what is known of it."""

    url: str = Field(description="An http or https address.")
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="Digest the bytes must have, in hex."
    )
    bytes: int | None = Field(None, ge=0, description="Size the file must have.")


class HttpSource(SourceBase, ReadingOptions):
    """Files fetched over http(s), resumed when cut off and checked when complete."""

    type: Literal["http"] = "http"
    urls: tuple[RemoteFile, ...] = Field(
        min_length=1, description="Addresses, each a string or {url, sha256, bytes}."
    )
    headers_from_env: Annotated[dict[str, str], Execution()] = Field(
        {}, description="Request header to environment variable, such as Authorization: MY_TOKEN."
    )
    query_from_env: Annotated[dict[str, str], Execution()] = Field(
        {}, description="The same for parameters of the address that are secret, as `sig: MY_SIG`."
    )
    max_file_bytes: Annotated[int, Execution()] = Field(
        100 << 30, ge=1, description="A file whose `bytes` are not given may have so many."
    )
    private_redirects: Annotated[bool, Execution()] = Field(
        False,
        description="Follow a public server's redirects to loopback, link-local and private "
        "addresses. What `urls` itself names may always be one.",
    )
    attempts: Annotated[int, Execution()] = Field(
        6, ge=1, description="Tries in a row without any progress before giving up."
    )
    backoff_seconds: Annotated[float, Execution()] = Field(
        1.0, ge=0, description="Wait after the first failure; doubles each time, up to a minute."
    )
    timeout_seconds: Annotated[float, Execution()] = Field(
        60.0, gt=0, description="Longest silence of a server."
    )

    def told_apart_by(self) -> str:
        """The file name in the first address."""
        address = urlsplit(self.urls[0].url)
        return address.path.rstrip("/").rpartition("/")[2] or address.hostname or self.type

    @field_validator("urls", mode="before")
    @classmethod
    def _plain_addresses(cls, value: Any) -> Any:
        items = [value] if isinstance(value, str | dict) else value
        if not isinstance(items, list | tuple):
            return value
        return tuple({"url": item} if isinstance(item, str) else item for item in items)

    @model_validator(mode="after")
    def _safe_addresses(self) -> "HttpSource":
        # Checked here and not per field: the value shown beside the message must hold no secret.
        for number, file in enumerate(self.urls):
            scheme, _, rest = file.url.partition("://")
            if scheme.lower() not in ("http", "https") or not rest:
                raise ValueError(f"urls.{number} is not an http or https address")
            if "@" in rest.split("/")[0]:
                raise ValueError(
                    f"urls.{number} carries a user name or password, which would end up in "
                    "manifests; use headers_from_env"
                )
            if (name := secret_parameter(file.url)) is not None:
                raise ValueError(
                    f"urls.{number} carries a secret in its query ({name}), which would end up in "
                    f"manifests; leave it out and use query_from_env, such as {{{name}: MY_SECRET}}"
                )
        self._check_secrets()
        return self

    def _check_secrets(self) -> None:
        """Names of headers and variables only: a value in their place must not be shown."""
        if not all(map(_HEADER.fullmatch, self.headers_from_env)):
            raise ValueError("headers_from_env: a name is none of a header")
        for field in ("headers_from_env", "query_from_env"):
            if not all(map(VARIABLE.fullmatch, getattr(self, field).values())):
                raise ValueError(
                    f"{field} names environment variables, such as MY_TOKEN; set the secret itself "
                    "there and not here"
                )


class HubSource(SourceBase):
    """A dataset read with the `datasets` library; a token comes from HF_TOKEN alone."""

    type: Literal["hub"] = "hub"
    dataset: Annotated[str, LocalPath()] = Field(
        min_length=1, description="Name on the hub, or a local dataset folder."
    )
    subset: str | None = Field(None, description="The dataset's configuration name.")
    split: str = Field("train", description="Which split to read.")
    revision: str | None = Field(
        None, description="Commit to read. Without it, what was read first stays."
    )
    text_field: str = Field("text", min_length=1, description="Column that holds the text.")
    errors: Literal["refuse", "replace"] = Field(
        "refuse", description="Halves of surrogate pairs: refuse, or replace by U+FFFD."
    )
    max_documents: int | None = Field(None, ge=1, description="Stop after so many records.")
    max_bytes: int | None = Field(None, ge=1, description="Stop before so many bytes of text.")

    def told_apart_by(self) -> str:
        """The dataset's own name."""
        return self.dataset.rstrip("/").rpartition("/")[2]


class DocstringsSource(SourceBase):
    """Docstrings of the installed packages and of Python's own library; needs no network."""

    type: Literal["docstrings", "docs"] = "docstrings"
    packages: tuple[str, ...] | None = Field(
        None, description="Distributions to read; default: all that are installed."
    )
    standard_library: bool = Field(True, description="Read Python's own library too.")
    prose: bool = Field(
        True, description="Unwrap lines, and leave out doctests, code, tables and markup."
    )
    min_characters: int = Field(
        100, ge=1, description="Docstrings that give less text are left out."
    )
    max_bytes: int = Field(24 << 20, ge=1, description="At most so many bytes of text.")

    @field_validator("type")
    @classmethod
    def _newer_spelling(cls, value: str) -> str:
        return "docstrings"

    def identity(self) -> dict[str, Any]:
        """All fields; in keys the type has the older spelling, so that what exists is found."""
        return super().identity() | {"type": "docs"}

    def told_apart_by(self) -> str:
        """The only package, or that they are docstrings."""
        return self.packages[0] if self.packages and len(self.packages) == 1 else "docstrings"


AnySource = FilesSource | HttpSource | HubSource | DocstringsSource
Source = Annotated[AnySource, Field(discriminator="type")]

SOURCE_TYPES: dict[str, type[SourceBase]] = {
    spelling: model
    for model in get_args(AnySource)
    for spelling in get_args(model.model_fields["type"].annotation)
}
"""What `type` stands for, older spellings included."""


def source_names(corpus: Sequence[SourceBase]) -> list[str]:
    """The name of each source: its own, or one made of what it reads.

    Where that is not enough to tell two apart, both have digits of all that they say as well.
    """
    short = [source.name or source.default_name(in_full=False) for source in corpus]
    return [
        name if source.name or short.count(name) == 1 else source.default_name(in_full=True)
        for source, name in zip(corpus, short, strict=True)
    ]
