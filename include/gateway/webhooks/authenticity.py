"""How a call proves who sent it, before anything in its body is looked at.

What the headers alone can refute is refused before the body is read, so that a stranger can't make us hold one. Secrets are
compared in constant time, each with each: how long it takes tells nothing of how much of one was right, or which.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Protocol

from starlette.datastructures import Headers

from include.errors import ConfigurationError
from include.gateway.problem import Refusal


@dataclass(frozen=True, slots=True)
class Keyring:
    """What the firm knows of a sender.

    Attributes:
        secrets: Each that is live; while one is exchanged for another, both. Never shown.
        networks: From which it calls; where the sender's declaration asks for them.
    """

    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, secrets: str, networks: str = "") -> Keyring:
        """Reads secrets and networks, such as `203.0.113.0/24`, separated by blanks.

        Raises:
            ConfigurationError: A network is none.
        """
        try:
            known = tuple(ip_network(each) for each in networks.split())
        except ValueError as error:
            raise ConfigurationError("A sender's network can't be read", network=str(error)) from None
        return cls(tuple(each.encode() for each in secrets.split()), known)


@dataclass(frozen=True, slots=True)
class Head:
    """A call without its body: its headers, and the address that it came from."""

    headers: Headers
    address: str


class Authenticity(Protocol):
    """One way of proof."""

    @property
    def has_handshake(self) -> bool:
        """Whether the sender asks by GET, before its first delivery, whether we want any."""

    def check_head(self, head: Head, keyring: Keyring) -> None:
        """Raises `Refusal` where the headers alone show that the call is not the sender's."""

    def check_body(self, head: Head, body: bytes, keyring: Keyring) -> None:
        """Raises `Refusal` unless the body is the sender's."""

    def answer(self, head: Head) -> dict[str, str]:
        """Returns the headers by which the sender knows that we know it."""


@dataclass(frozen=True, slots=True)
class SignedBody:
    """HMAC-SHA256 of the raw body under a shared secret, in base64; one numbered header for each secret that the sender holds.

    Attributes:
        header: Name without the number: `X-Signature` stands for `X-Signature-1`, `X-Signature-2`, ...
    """

    header: str
    has_handshake = False

    def check_head(self, head: Head, keyring: Keyring) -> None:
        """Refuses a call without any signature."""
        if not keyring.secrets:
            raise _not_set_up()
        if not self._signatures(head):
            raise Refusal(401, f"There is no header {self.header}-1")

    def check_body(self, head: Head, body: bytes, keyring: Keyring) -> None:
        """Accepts a body if any of its signatures is that of any live secret."""
        expected = [base64.b64encode(hmac.digest(secret, body, hashlib.sha256)) for secret in keyring.secrets]
        if not _has_match(self._signatures(head), expected):
            raise Refusal(401, f"No header {self.header}-N is the signature of this body under a key known here")

    def answer(self, head: Head) -> dict[str, str]:
        """Nothing: the status says all."""
        return {}

    def _signatures(self, head: Head) -> list[bytes]:
        named = re.compile(re.escape(self.header) + r"-\d+", re.IGNORECASE)
        return [value.encode("latin-1") for name, value in head.headers.items() if named.fullmatch(name)]


@dataclass(frozen=True, slots=True)
class EchoedId:
    """An id that only the sender and we know, from a network that is the sender's; we send the id back.

    The id signs nothing: who learns it could send anything. So the networks are asked for always (a firm that leaves them to
    its proxy, or to mutual TLS there, says so with `0.0.0.0/0 ::/0`), and what a delivery says is a hint to look at the vendor.

    Attributes:
        header: Where the id stands, in the call and in our answer.
    """

    header: str
    has_handshake = True

    def check_head(self, head: Head, keyring: Keyring) -> None:
        """Accepts a call that has a live id and comes from one of the networks."""
        if not keyring.secrets or not keyring.networks:
            raise _not_set_up()
        if not _is_within(head.address, keyring.networks):
            raise Refusal(403, "The call does not come from a network of the sender's that is known here")
        named = head.headers.getlist(self.header)
        if not named:
            raise Refusal(401, f"There is no header {self.header}")
        if len(named) > 1 or not _has_match([named[0].encode("latin-1")], keyring.secrets):
            raise Refusal(401, f"The header {self.header} names nobody known here")

    def check_body(self, head: Head, body: bytes, keyring: Keyring) -> None:
        """Nothing of a body proves anything."""

    def answer(self, head: Head) -> dict[str, str]:
        """The id, which was found good."""
        return {self.header: head.headers[self.header]}


def _not_set_up() -> Refusal:
    return Refusal(404, "Nobody has set this sender up here yet")


def _has_match(given: Iterable[bytes], known: Iterable[bytes]) -> bool:
    pairs = [hmac.compare_digest(one, another) for one in given for another in known]
    return any(pairs)


def _is_within(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:  # a Unix socket, or a proxy that says no address
        return False
    known = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(known in network for network in networks)
