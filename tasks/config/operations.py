"""`operations:` what runs by itself, when, and who hears of it. None of it takes part in a key."""

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from tasks.config.base import Execution, Section

_CRON_FIELD = re.compile(r"^[0-9A-Za-z*/,\-#?]+$")
_BLOCK = re.compile(r"^[a-z0-9-]+/[a-z0-9-]+$")

News = Literal["failure", "recovery", "score_drop", "publish"]


def _checked_cron(value: str | None) -> str | None:
    fields = value.split() if value else []
    if value is not None and (len(fields) != 5 or not all(map(_CRON_FIELD.match, fields))):
        raise ValueError("write five fields: minute hour day month weekday, such as `30 2 * * *`")
    return value


class Scheduled(Section):
    """Something that can run by the clock."""

    cron: Annotated[str | None, Execution()] = Field(
        None, description="When: minute hour day month weekday; null: only when it is asked for."
    )

    @field_validator("cron")
    @classmethod
    def _five_fields(cls, value: str | None) -> str | None:
        return _checked_cron(value)


class RefreshConfig(Scheduled):
    """Take in what is new in the sources and go on training the published model."""

    steps: Annotated[int | None, Execution()] = Field(
        None, ge=1, description="Steps on the new text. Default: the length in `pretrain`."
    )
    minutes: Annotated[float | None, Execution()] = Field(
        None, gt=0, description="The same as a time."
    )
    margin: Annotated[float, Execution()] = Field(
        0.01,
        ge=0,
        le=1,
        description="The new model is published unless a score is lower than the published "
        "model's, on the same texts, by more than this share of right answers.",
    )

    @model_validator(mode="after")
    def _one_length(self) -> "RefreshConfig":
        if self.steps is not None and self.minutes is not None:
            raise ValueError("steps and minutes are given; keep one of them")
        return self


class VerifyConfig(Scheduled):
    """Read every stored byte again."""

    cron: Annotated[str | None, Execution()] = Field(
        "0 4 * * 0", description="When; the default is Sundays at four."
    )
    repair: Annotated[bool, Execution()] = Field(
        False, description="Make damaged units again at once."
    )


class PruneConfig(Scheduled):
    """Free the space of what nothing refers to."""

    keep: Annotated[int, Execution()] = Field(2, ge=0, description="Runs kept of each config name.")
    partial_days: Annotated[float, Execution()] = Field(
        7, ge=0, description="Unfinished artifacts touched in the last days are kept."
    )


class NotificationConfig(Section):
    """Who is told of what: a notification block of the Prefect server, by its name there."""

    block: Annotated[str, Execution()] = Field(
        description="type/name of a block, such as `slack-webhook/team`, `webhook/ops` or "
        "`sendgrid-email/office`; addresses and passwords stay in it."
    )
    # Not called `on`: to YAML that word is true.
    news: Annotated[tuple[News, ...], Execution()] = Field(
        ("failure", "recovery", "score_drop", "publish"), min_length=1, description="Of what."
    )

    @field_validator("block")
    @classmethod
    def _type_and_name(cls, value: str) -> str:
        if not _BLOCK.match(value):
            raise ValueError("write type/name, such as `slack-webhook/team`")
        return value


class OperationsConfig(Section):
    """Schedules, retention and notifications of the deployments that `roberta deploy` makes."""

    timezone: Annotated[str, Execution()] = Field(
        "UTC", description="Whose clock the schedules follow, such as `Europe/Berlin`."
    )
    refresh: Annotated[RefreshConfig, Execution()] = RefreshConfig()
    verify: Annotated[VerifyConfig, Execution()] = VerifyConfig()
    prune: Annotated[PruneConfig, Execution()] = PruneConfig()
    notify: Annotated[tuple[NotificationConfig, ...], Execution()] = Field(
        (), description="Notifications."
    )

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("no such time zone; write it as `Europe/Berlin`") from None
        return value
