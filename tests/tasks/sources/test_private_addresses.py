"""Which addresses are of the public internet, and which one of several counts."""

import httpx
import pytest

from tasks.sources import private_addresses
from tasks.sources.private_addresses import connected_to_private, is_private, is_public


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1"]
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *["0.0.0.0", "10.1.2.3", "100.64.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1"],
        *["192.168.0.1", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1"],
        *["255.255.255.255", "::", "::1", "fe80::1", "fd00::1", "ff02::1", "ff0e::1"],
        *["::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:100.64.0.1"],
    ],
)
def test_no_others_are(address: str) -> None:
    """Neither shared nor multicast ones, nor IPv4 in the clothes of IPv6."""
    assert not is_public(address)


def test_a_host_with_one_private_address_among_others_is_private(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whichever of them is connected to; a host without any will say so when it is asked."""
    for addresses, private in (
        (["1.1.1.1", "10.0.0.1"], True),
        (["1.1.1.1", "8.8.8.8"], False),
        ([], False),
    ):
        monkeypatch.setattr(private_addresses, "resolve", lambda host, found=addresses: found)
        assert is_private(httpx.URL("http://host/")) == private


class _Stream:
    def __init__(self, address: str) -> None:
        self.address = address

    def get_extra_info(self, info: str) -> tuple[str, int] | None:
        return (self.address, 80) if info == "server_addr" else None


def test_who_was_connected_to_counts_unless_it_is_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for hosts that no proxy is used for."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    place = httpx.URL("http://host.example/")
    inside, outside = (
        httpx.Response(200, extensions={"network_stream": _Stream(address)})
        for address in ("127.0.0.1", "1.1.1.1")
    )
    assert connected_to_private(inside, place)
    assert not connected_to_private(outside, place)
    assert not connected_to_private(httpx.Response(200), place)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:3128")
    assert not connected_to_private(inside, place)
    assert connected_to_private(inside, httpx.URL("https://host.example/"))
    monkeypatch.setenv("no_proxy", "host.example")
    assert connected_to_private(inside, place)
