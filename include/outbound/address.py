"""Check the addresses of receivers: events may go to public addresses and to networks that the operator allows.

For each connection, the host name is resolved once, all its addresses are checked, and the connection uses a checked address. So
DNS rebinding (a name that changes its address between check and use) has no effect. TLS still verifies the host name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpcore

Network = IPv4Network | IPv6Network
Networks = Sequence[Network]

_NAT64 = IPv6Network("64:ff9b::/96")
"""Prefix of IPv6 addresses that stand for an IPv4 address, in networks without IPv4 (RFC 6052)."""
_AZURE = IPv4Address("168.63.129.16")
"""A public address that on Azure machines leads to services of the host machine."""
_FIRST_TRIES_S = 3.0
"""Connect timeout in seconds for each address of a host except the last. If IPv6 does not respond, this leaves time for IPv4."""


class AddressNotAllowed(ConnectionError):
    """An address is neither public nor in a network that the operator allows."""


def read_networks(text: str) -> tuple[Network, ...]:
    """Parse networks such as `10.20.0.0/16 fd00::/8`; raise ValueError if one is invalid."""
    return tuple(ip_network(each) for each in text.split())


def check(addresses: Iterable[str], networks: Networks) -> None:
    """Raise `AddressNotAllowed` unless events may be sent to all given addresses.

    Args:
        addresses: All addresses of a host. A single forbidden address is enough to raise.
        networks: Networks allowed in addition to public addresses.
    """
    for text in addresses:
        address = _unwrap(ip_address(text))
        if not (_is_public(address) or any(address in network for network in networks)):
            raise AddressNotAllowed(f"The address {address} is not public and in none of the connection's `networks`")


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host; raise OSError if it has none."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in infos))


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """A network backend that connects only to checked addresses."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of a host that accepts; raise `AddressNotAllowed` before connecting if one is forbidden."""
        try:
            addresses = await resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        check(addresses, self._networks)
        *first, last = addresses
        for address in first:
            patience = _FIRST_TRIES_S if timeout is None else min(timeout, _FIRST_TRIES_S)
            try:
                return await self._backend.connect_tcp(address, port, patience, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._backend.connect_tcp(last, port, timeout, local_address, socket_options)


def _unwrap(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address embeds, otherwise the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is outside private, local, shared, multicast, reserved and metadata networks."""
    is_special = address.is_multicast or address.is_reserved or getattr(address, "is_site_local", False)
    return address.is_global and not is_special and address != _AZURE
