"""Retries at a server: what may pass is tried again, what will not is told at once.

    try ──▶ failed ──▶ may it pass? ──▶ no: raise, credentials with a paragraph
                          │ yes
                          ▼
              wait 0.2 s, 0.4 s, ... 15 s, with chance ──▶ try again, about a minute in all

Servers throttle (503), stumble (500), cut connections and drop answers; a driver has its own few
quick attempts at a request, and here is what lies above them. Every operation that is repeated
has the same effect when the first try got through and only its answer was lost.
"""

import errno
import logging
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from tasks.errors import RobertaError, TransientError, UserError

log = logging.getLogger(__name__)

R = TypeVar("R")

TRIES = 10
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 15.0

_FINAL = (
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    RobertaError,
    ValueError,
    TypeError,
    NotImplementedError,
    ImportError,
    MemoryError,
)
# The request itself is refused (EINVAL, EPERM, ...), or this machine's own disk is.
_FINAL_NUMBERS = {
    errno.EINVAL,
    errno.EPERM,
    errno.ENOSYS,
    errno.ENAMETOOLONG,
    errno.EMSGSIZE,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
}
# An upload that was cut short on its way is refused like a wrong one, but can be sent again.
_CUT_SHORT = {"IncompleteBody", "BadDigest", "RequestTimeout", "XAmzContentSHA256Mismatch"}
# By name: the packages that define them need not be here.
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"}
_WRONG_REQUESTS = {"ParamValidationError", "InvalidRegionError", "ProfileNotFound"}


def server_code(problem: BaseException) -> str:
    """What an S3 server calls its error, such as `SlowDown`; nothing for other errors."""
    for told in (problem, problem.__cause__):
        response: Any = getattr(told, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def may_pass(problem: Exception) -> bool:
    """Whether the same request may succeed in a while."""
    if server_code(problem) in _CUT_SHORT:
        return True
    if isinstance(problem, _FINAL) or type(problem).__name__ in _WRONG_REQUESTS:
        return False
    if is_refused(problem):
        return False
    return getattr(problem, "errno", None) not in _FINAL_NUMBERS


def is_refused(problem: Exception) -> bool:
    """Whether the server wants other credentials."""
    return isinstance(problem, PermissionError) or type(problem).__name__ in _NO_CREDENTIALS


def with_retries(place: str, action: Callable[[], R]) -> R:
    """Do one thing at a server, again and again while its failure may pass.

    Args:
        place: The URL that it is about, for people.
        action: What to do; it must bear being done twice.

    Raises:
        TransientError: the server stays away.
        UserError: the credentials are missing or refused.
        Exception: whatever will not pass, as it is.
    """
    began = time.monotonic()
    for number in range(1, TRIES + 1):
        try:
            return action()
        except Exception as problem:
            if is_refused(problem):
                raise _no_access(place, problem) from problem
            if not may_pass(problem):
                raise
            if number == TRIES:
                raise TransientError(
                    f"{place}: the store did not answer, or not properly, in {TRIES} tries over "
                    f"{time.monotonic() - began:.0f} s; the last time: {told(problem)}. "
                    "Everything finished is kept; run the same command again when the server "
                    "can be reached."
                ) from problem
            pause = _pause_seconds(number)
            log.info("%s: %s; again in %.1f s", place, told(problem), pause)
            time.sleep(pause)
    raise AssertionError("unreachable")


def _pause_seconds(number: int) -> float:
    """Twice as long after each try, and never the same for two that failed together."""
    longest: float = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (number - 1))
    return longest * random.uniform(0.5, 1.0)


def told(problem: BaseException) -> str:
    """An error in one line, never empty."""
    text = " ".join(str(problem).split())
    return f"{type(problem).__name__}: {text}" if text else type(problem).__name__


def _no_access(place: str, problem: Exception) -> UserError:
    return UserError(
        f"store: {place} may not be accessed: {told(problem)}. Check the credentials that the "
        "driver reads (for s3:// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile), "
        "the endpoint (AWS_ENDPOINT_URL) and the rights on this bucket."
    )
