"""Addresses in a config: they end up in records that many can read, so they hold no secrets."""

import re
from urllib.parse import parse_qsl, unquote_plus, urlsplit

# Parameters of a query that give access, in small letters: those of signed addresses (S3, GCS,
# Azure, CloudFront), and what services call their tokens.
_SECRET = re.compile(
    r"(x-(amz|goog)-(signature|credential|security-token)|awsaccesskeyid|googleaccessid|sig|"
    r"signature|key-pair-id|policy|access_?key|access_?token|(api|auth|secret|private)[_-]?key|"
    r"(auth|id|refresh|private|bearer|security|session)?[_-]?token|auth|authorization|"
    r"(client_?)?secret|pass(word|wd)?|pwd|credentials?|jwt)"
)
_LONG = 16  # `key` is also what services call a file's name; of an access key it is this long

# A password may hold what ends a host, if it is not written as it should be; a port is digits.
_USER = re.compile(r"(?<=//)(?:[^/?#\s]*|[^/?#\s:@]*:(?!\d+[/?#])[^@\s]*)@")
_VALUE = re.compile(r"([?&;#])([^=&;#\s]+)=([^&;#\s]+)")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def user_in(url: str) -> str | None:
    """The user and password that an address names before its host, or None."""
    found = _USER.search(url)
    return None if found is None else found[0][:-1]


def secret_parameter(url: str) -> str | None:
    """The name of a parameter in an address's query that seems to hold a secret, or None."""
    try:
        query = urlsplit(url).query
    except ValueError:  # no address at all; whoever asks for it says so
        return None
    return next((name for name, value in parse_qsl(query) if _is_secret(name, value)), None)


def redacted(text: str) -> str:
    """Text with the secrets of any address in it as `***`.

    >>> redacted("s3://me:pw@bucket/a is no store; https://h/x?part=2&sig=Zm9v neither")
    's3://***@bucket/a is no store; https://h/x?part=2&sig=*** neither'
    """

    def shown(found: re.Match[str]) -> str:
        is_secret = _is_secret(unquote_plus(found[2]), unquote_plus(found[3]))
        return f"{found[1]}{found[2]}=***" if is_secret else found[0]

    return _VALUE.sub(shown, _USER.sub("***@", text))


def _is_secret(name: str, value: str) -> bool:
    name = name.lower()
    return bool(_SECRET.fullmatch(name)) or (name == "key" and len(value) >= _LONG)
