"""Check the authenticity of webhook requests before their body is parsed.

A request with invalid headers is refused before its body is read, so an unknown sender can't fill the memory. Each signature or id in a
request is compared with every secret in constant time, so the response time reveals neither a partial match nor which secret matched.
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

from include.contract.webhook import EchoedId, SignedBody
from include.errors import ConfigurationError
from include.gateway.problem import Refusal


@dataclass(frozen=True, slots=True)
class Keyring:
    """A sender's secrets and networks.

    Attributes:
        secrets: All valid secrets; during a rotation, both the old and the new one. Never shown.
        networks: The networks that the sender sends from; needed only if its authenticity check uses them.
    """

    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, secrets: str, networks: str = "") -> Keyring:
        """Parse a text of secrets and a text of networks, such as `203.0.113.0/24`, each separated by blanks.

        Raises:
            ConfigurationError: A network is invalid.
        """
        try:
            parsed = tuple(ip_network(each) for each in networks.split())
        except ValueError as error:
            raise ConfigurationError("Invalid network of a webhook sender", network=str(error)) from None
        return cls(tuple(each.encode() for each in secrets.split()), parsed)


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body: its headers and its source address."""

    headers: Headers
    address: str


class Authenticity(Protocol):
    """The check of one kind of proof that a request is from its sender."""

    @property
    def has_handshake(self) -> bool:
        """Whether the sender verifies the endpoint by a GET request before its first delivery."""

    def check_head(self, head: Head, keyring: Keyring) -> None:
        """Raise `Refusal` if the headers or the address show that the request is not from the sender."""

    def check_body(self, head: Head, body: bytes, keyring: Keyring) -> None:
        """Raise `Refusal` unless the body is from the sender."""

    def answer(self, head: Head) -> dict[str, str]:
        """Return the response headers that the sender requires."""

    def prove(self, body: bytes, secret: bytes) -> dict[str, str]:
        """Return the request headers with which the sender proves a body, for a check of our own gateway."""


@dataclass(frozen=True, slots=True)
class _SignedBody:
    """The check of a `SignedBody`: a header contains the HMAC of the body with a shared secret."""

    header: str
    has_handshake = False

    def check_head(self, head: Head, keyring: Keyring) -> None:
        """Refuse (401) a request without a signature; refuse (404) every request if the sender has no secret."""
        if not keyring.secrets:
            raise _not_configured()
        if not self._signatures(head):
            raise Refusal(401, f"Missing header {self.header}-1")

    def check_body(self, head: Head, body: bytes, keyring: Keyring) -> None:
        """Accept the body if any signature in the headers matches the body and one of the secrets; otherwise refuse it (401)."""
        expected = [_sign(secret, body) for secret in keyring.secrets]
        if not _has_match(self._signatures(head), expected):
            raise Refusal(
                401, f"Invalid signature: no header {self.header}-N matches this body and a configured secret"
            )

    def answer(self, head: Head) -> dict[str, str]:
        """Return no headers: the sender needs only the status."""
        return {}

    def prove(self, body: bytes, secret: bytes) -> dict[str, str]:
        """Return the header with the signature of the body."""
        return {f"{self.header}-1": _sign(secret, body).decode()}

    def _signatures(self, head: Head) -> list[bytes]:
        pattern = re.compile(re.escape(self.header) + r"-\d+", re.IGNORECASE)
        return [value.encode("latin-1") for name, value in head.headers.items() if pattern.fullmatch(name)]


@dataclass(frozen=True, slots=True)
class _EchoedId:
    """The check of an `EchoedId`: a request contains a client id and comes from one of the sender's networks.

    The id signs nothing, so anyone who learns it can forge a delivery. Therefore networks are required, and a delivery is only a hint to
    read the record from the vendor. If the proxy checks the networks or uses mutual TLS, set the networks `0.0.0.0/0 ::/0`.
    """

    header: str
    has_handshake = True

    def check_head(self, head: Head, keyring: Keyring) -> None:
        """Accept a request with a valid id from one of the networks.

        Otherwise refuse it: 403, another network; 401, a missing or unknown id; 404, the sender has no secret or no network.
        """
        if not keyring.secrets or not keyring.networks:
            raise _not_configured()
        if not _is_within(head.address, keyring.networks):
            raise Refusal(403, "The request does not come from a configured network of the sender")
        ids = head.headers.getlist(self.header)
        if not ids:
            raise Refusal(401, f"Missing header {self.header}")
        if len(ids) > 1 or not _has_match([ids[0].encode("latin-1")], keyring.secrets):
            raise Refusal(401, f"Unknown id in the header {self.header}")

    def check_body(self, head: Head, body: bytes, keyring: Keyring) -> None:
        """Accept any body: the proof is in the headers."""

    def answer(self, head: Head) -> dict[str, str]:
        """Return the header with the client id of the request: the sender expects it in the response."""
        return {self.header: head.headers[self.header]}

    def prove(self, body: bytes, secret: bytes) -> dict[str, str]:
        """Return the header with the client id."""
        return {self.header: secret.decode()}


def make_check(proof: SignedBody | EchoedId) -> Authenticity:
    """Return the check of a sender's proof."""
    return _SignedBody(proof.header) if isinstance(proof, SignedBody) else _EchoedId(proof.header)


def _sign(secret: bytes, body: bytes) -> bytes:
    return base64.b64encode(hmac.digest(secret, body, hashlib.sha256))


def _not_configured() -> Refusal:
    return Refusal(404, "This sender is not configured yet")


def _has_match(signatures: Iterable[bytes], expected: Iterable[bytes]) -> bool:
    pairs = [hmac.compare_digest(one, another) for one in signatures for another in expected]
    return any(pairs)


def _is_within(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:  # a Unix socket, or a proxy that forwards no address
        return False
    unmapped = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(unmapped in network for network in networks)
