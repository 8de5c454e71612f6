"""Secrets in addresses: which parameters are taken for one, and that none of them is shown."""

import pytest

from tasks.config.addresses import VARIABLE, redacted, secret_parameter, user_in

SECRET = [
    *("X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "X-Goog-Signature"),
    *("X-Goog-Credential", "AWSAccessKeyId", "GoogleAccessId", "sig", "Signature", "Key-Pair-Id"),
    *("Policy", "access_key", "accesskey", "access_token", "accesstoken", "api_key", "api-key"),
    *("apikey", "auth_key", "secret_key", "private-key", "token", "auth_token", "id_token"),
    *("refresh-token", "private_token", "bearer_token", "security_token", "session-token"),
    *("sessiontoken", "auth", "Authorization", "secret", "client_secret", "clientsecret", "pass"),
    *("password", "passwd", "pwd", "credential", "credentials", "jwt"),
]
OPEN = [
    *("part", "page", "max-keys", "keys", "monkey", "tokens", "token_count", "signed", "sigma"),
    *("author", "passage", "policy_id", "x"),
]


@pytest.mark.parametrize("name", SECRET)
def test_a_secret_parameter_is_found_and_not_shown(name: str) -> None:
    url = f"https://h/x?part=2&{name}=Zm9v"
    assert secret_parameter(url) == name
    assert redacted(url) == f"https://h/x?part=2&{name}=***"
    assert secret_parameter(f"https://h/x?{name.upper()}=a&part=2") == name.upper()


@pytest.mark.parametrize("name", OPEN)
def test_other_parameters_are_shown(name: str) -> None:
    for value in ("Zm9v", "Zm9v" * 8):
        url = f"https://h/x?{name}={value}"
        assert secret_parameter(url) is None
        assert redacted(url) == url


def test_a_key_is_a_secret_when_it_is_as_long_as_one() -> None:
    """What services call a file's name is shorter."""
    short, long = "https://h/x?key=" + "a" * 15, "https://h/x?key=" + "a" * 16
    assert (secret_parameter(short), redacted(short)) == (None, short)
    assert (secret_parameter(long), redacted(long)) == ("key", "https://h/x?key=***")


def test_a_secret_is_hidden_wherever_a_parameter_may_stand() -> None:
    """Each of several, in several addresses, behind any mark; the value ends where it ends."""
    text = "s3://a/b?sig=1&x=2;token=3#pwd=4 and h://c?x=5&sig=6 end, sig=7"
    assert redacted(text) == (
        "s3://a/b?sig=***&x=2;token=***#pwd=*** and h://c?x=5&sig=*** end, sig=7"
    )


def test_users_of_all_addresses_are_hidden() -> None:
    text = "s3://me:pw@a/b, ftp://you@c, h://d/e@f and mail@host"
    assert redacted(text) == "s3://***@a/b, ftp://***@c, h://d/e@f and mail@host"
    assert redacted("h://u:p@w@host/x") == "h://***@host/x", "up to the last sign"


def test_a_password_with_a_slash_is_one_and_a_port_is_none() -> None:
    assert redacted("h://u:p/w@host/x") == "h://***@host/x"
    assert user_in("h://u:p?#/w@host/x") == "u:p?#/w"
    assert redacted("h://host:80/a@b") == "h://host:80/a@b"
    assert user_in("h://host:80/a@b") is None


def test_a_name_in_percent_signs_is_the_same_name() -> None:
    assert redacted("https://h/x?%73ig=abc&a=b") == "https://h/x?%73ig=***&a=b"


@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("s3://me:pw@bucket/a", "me:pw"),
        ("s3://me@bucket", "me"),
        ("s3://@bucket", ""),
        ("s3://bucket/a@b", None),
        ("s3://bucket?a@b", None),
        ("s3://bucket#a@b", None),
        ("me:pw@bucket", None),
    ],
)
def test_a_user_stands_before_the_host(url: str, user: str | None) -> None:
    assert user_in(url) == user


@pytest.mark.parametrize("text", ["h://[broken?sig=1", "no address", "h://h/sig=1", "h://h/x?sig="])
def test_what_has_no_query_has_no_secret(text: str) -> None:
    assert secret_parameter(text) is None


def test_an_encoded_name_is_the_same_name() -> None:
    assert secret_parameter("h://h/x?X%2DAmz%2DSignature=1") == "X-Amz-Signature"


@pytest.mark.parametrize(
    ("name", "fits"),
    [("MY_TOKEN", True), ("_x9", True), ("9x", False), ("A-B", False), ("", False), ("A B", False)],
)
def test_names_of_variables(name: str, fits: bool) -> None:
    assert bool(VARIABLE.fullmatch(name)) is fits
