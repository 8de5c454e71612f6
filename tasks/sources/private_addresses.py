"""Where a redirect may lead: not from a public server into this machine or its network.

A stranger's server could otherwise make this process ask what only it can reach, such as a
cloud's metadata service, and put the answer into the corpus. Names are resolved, and the address
that was really connected to is looked at too: a name can mean another one a moment later.
"""

import ipaddress
import socket
from urllib.request import getproxies, proxy_bypass

import httpx


def is_private(place: httpx.URL) -> bool:
    """Whether the host of an address is, or may be, none of the public internet.

    One that cannot be resolved is not: asking it will say so.
    """
    return any(not is_public(address) for address in resolve(place.host))


def resolve(host: str) -> list[str]:
    """The addresses of a host; a literal address is its own."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return sorted({str(entry[4][0]) for entry in found})


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet.

    >>> [is_public(a) for a in ("1.1.1.1", "127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1")]
    [True, False, False, False]
    """
    known = ipaddress.ip_address(address)
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is not None:
        known = known.ipv4_mapped
    return known.is_global and not known.is_multicast


def connected_to_private(response: httpx.Response, place: httpx.URL) -> bool:
    """Whether an answer came from a private address; by a proxy, whose own is no matter, never."""
    if place.scheme in getproxies() and not proxy_bypass(place.host):
        return False
    stream = response.extensions.get("network_stream")
    peer = None if stream is None else stream.get_extra_info("server_addr")
    return peer is not None and not is_public(str(peer[0]))
