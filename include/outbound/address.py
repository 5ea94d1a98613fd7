"""Which addresses events may be sent to: public ones, and those of networks that the operator has named.

A name is resolved once for each connection, every address that it has is checked, and the connection goes to one that was
checked. So a name that changes its address between check and use (DNS rebinding) gains nothing. TLS still verifies the name.
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
"""IPv4 addresses, as networks without IPv4 write them (RFC 6052)."""
_AZURE = IPv4Address("168.63.129.16")
"""Public in form; each machine of Azure reaches its host's services there."""
_FIRST_TRIES_S = 3.0
"""For each address of a host but the last: where IPv6 leads nowhere, there is time left for IPv4."""


class AddressNotAllowed(ConnectionError):
    """An address is not public, nor of a network that the operator has named."""


def read_networks(text: str) -> tuple[Network, ...]:
    """Return networks written like `10.20.0.0/16 fd00::/8`; raises ValueError where one is none."""
    return tuple(ip_network(each) for each in text.split())


def check(addresses: Iterable[str], networks: Networks) -> None:
    """Raise `AddressNotAllowed` unless events may be sent to each of some addresses.

    Args:
        addresses: All that a host has: one that should not be reached makes the host suspect.
        networks: What is allowed beside public addresses.
    """
    for text in addresses:
        address = _unwrapped(ip_address(text))
        if not (_is_public(address) or any(address in network for network in networks)):
            raise AddressNotAllowed(f"The address {address} is not public and in none of the connection's `networks`")


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host; raises OSError where it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections to addresses that were checked."""

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
        """Connect to the first address of a host that takes the connection; raises `AddressNotAllowed` before any is tried."""
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


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is none of a private, local, shared, multicast, reserved or metadata network."""
    is_special = address.is_multicast or address.is_reserved or getattr(address, "is_site_local", False)
    return address.is_global and not is_special and address != _AZURE
