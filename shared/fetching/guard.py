"""Which addresses this installation may call on behalf of a connector: no request may be turned
against our own network (SSRF).

A URL from a payload or a setting is anybody's. So: https only, few ports, every address that a name
resolves to must be a public one, and the connection goes to the very address that was checked
(a second look-up might answer otherwise). `allowed` networks, told by the installation's operator in
OMNIROUTE_FETCH_ALLOW, are exempt: an own Chatwoot or Mastodon inside the network, or a test.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

HTTPS_PORTS = frozenset({443, 8443})
RESOLVE_TIMEOUT_S = 5.0

_USUAL = {"https": 443, "http": 80, "imaps": 993, "imap": 143}

# Not global, or a way around: translation prefixes carry an IPv4 address inside.
_REFUSED = tuple(
    ipaddress.ip_network(one)
    for one in (
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2002::/16",
        "2001::/32",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "168.63.129.16/32",  # Azure's own services, as 169.254.169.254 is elsewhere
        "fec0::/10",
    )
)


class AddressRefused(Exception):
    """The URL leads where nothing of ours may go. Permanent."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Checks where a request leads. `allowed`: networks that may be called though they are not
    public, also in plain http and on any port."""

    allowed: tuple[Network, ...] = ()
    resolve: Resolve | None = None

    async def address_of(self, url: str, ports: frozenset[int] = HTTPS_PORTS) -> str:
        """The address to connect to for this URL. Raises AddressRefused, and OSError when the name
        cannot be resolved just now."""
        host, port, encrypted = _parts(url)
        found = await self._addresses(host, port)
        exempt = bool(self.allowed) and all(self._exempt(one) for one in found)
        if exempt:
            return str(found[0])
        if not encrypted:
            raise AddressRefused("only an encrypted connection is made")
        if port not in ports:
            raise AddressRefused(f"port {port} is not called")
        for one in found:
            if not is_public(one):
                raise AddressRefused(f"{host} is {one}, which is not a public address")
        return str(found[0])

    async def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            pass
        look_up = self.resolve or _resolve
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            texts = await look_up(host, port)
        if not texts:
            raise OSError(f"{host} has no address")
        return [ipaddress.ip_address(one.partition("%")[0]) for one in texts]

    def _exempt(self, address: Address) -> bool:
        plain = _unmapped(address)
        return any(plain in network for network in self.allowed)


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet's."""
    plain = _unmapped(address)
    if any(plain.version == one.version and plain in one for one in _REFUSED):
        return False
    return plain.is_global and not (
        plain.is_multicast
        or plain.is_loopback
        or plain.is_link_local
        or plain.is_private
        or plain.is_reserved
        or plain.is_unspecified
    )


def _unmapped(address: Address) -> Address:
    """An IPv4 address in IPv6 clothes (::ffff:127.0.0.1, ::127.0.0.1) counts as what it is."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        number = int(address)
        if 1 < number < 2**32:
            return ipaddress.IPv4Address(number)
    return address


def _parts(url: str) -> tuple[str, int, bool]:
    """(host, port, whether encrypted) of a URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise AddressRefused("that is no URL") from None
    if parts.scheme not in _USUAL or not host:
        raise AddressRefused("only https is called")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("the URL carries credentials")
    return host, port or _USUAL[parts.scheme], parts.scheme in ("https", "imaps")


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))
