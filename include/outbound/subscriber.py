"""Subscribers of outbound events: URL, signing secrets and filters."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from include.connection import require_https
from include.errors import ConfigurationError
from include.outbound.address import AddressNotAllowed, Network, check, read_networks

TYPES = (
    "tributary.load.committed",
    "tributary.finding.opened",
    "tributary.finding.closed",
    "tributary.dead_letter.made",
    "tributary.envelope.completed",
    "tributary.deadline.missed",
)
"""All event types. Database triggers write the events."""

_PREFIX = "whsec_"
_SECRET_BYTES = range(24, 65)


def expand(patterns: Iterable[str], subscriber: str) -> tuple[str, ...]:
    """Return the event types that match any of the patterns, such as `tributary.finding.*`.

    Raises:
        ConfigurationError: A pattern matches no type.
    """
    matches = {pattern: [each for each in TYPES if fnmatchcase(each, pattern)] for pattern in patterns}
    if unmatched := [pattern for pattern, types in matches.items() if not types]:
        raise ConfigurationError("Unknown event type", subscriber=subscriber, type=" ".join(unmatched))
    return tuple(each for each in TYPES if any(each in types for types in matches.values()))


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One receiver of events.

    Attributes:
        name: Name of the subscriber, from the connection.
        url: URL to which events are posted; never shown, because some receivers put a secret in it.
        secrets: Signing secrets; every event is signed with each of them. Never shown.
        types: Event types (of `TYPES`) that the subscriber receives.
        vendors: Vendors whose events the subscriber receives; empty for all.
        networks: Networks in which the receiver's address may be, in addition to public addresses.
    """

    name: str
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    types: tuple[str, ...] = TYPES
    vendors: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, name: str, url: str, secrets: str, extra: Mapping[str, Any]) -> Subscriber:
        """Create a subscriber from the fields of a connection.

        Args:
            name: The connection's name.
            url: `https://...`; `http://` is allowed only to this machine.
            secrets: `whsec_...`, separated by spaces.
            extra: Optional fields. `types`, such as `tributary.finding.* tributary.load.committed`, and `vendors` select events; without
                them, all are selected. `networks`, such as `10.20.0.0/16`, allows addresses that are not public.

        Raises:
            ConfigurationError: A field is missing, unknown or invalid.
        """
        if unknown := sorted(set(extra) - {"types", "vendors", "networks"}):
            raise ConfigurationError(
                "A subscriber has unknown settings: correct or remove them in its connection",
                subscriber=name,
                unknown=", ".join(unknown),
            )
        networks = _read_networks(name, str(extra.get("networks") or ""))
        _check_url(name, url, networks)
        parsed_secrets = tuple(secrets.split())
        if not parsed_secrets:
            raise ConfigurationError("A subscriber has no signing secret", subscriber=name)
        for secret in parsed_secrets:
            _check_secret(name, secret)
        types = expand(str(extra.get("types") or "*").split(), name)
        return cls(name, url, parsed_secrets, types, tuple(str(extra.get("vendors") or "").split()), networks)


def _read_networks(name: str, text: str) -> tuple[Network, ...]:
    try:
        return read_networks(text)
    except ValueError:
        raise ConfigurationError(
            "Invalid `networks` of a subscriber; expected: 10.20.0.0/16", subscriber=name
        ) from None


def _check_url(name: str, url: str, networks: tuple[Network, ...]) -> None:
    require_https(url, "A subscriber's address", subscriber=name)
    host = urlsplit(url).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return  # a host name: its addresses are checked when it is resolved
    try:
        check([host], networks)
    except AddressNotAllowed as error:
        raise ConfigurationError(str(error), subscriber=name) from None


def _check_secret(name: str, secret: str) -> None:
    try:
        size = len(base64.b64decode(secret.removeprefix(_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not secret.startswith(_PREFIX) or size not in _SECRET_BYTES:
        shape = f"{_PREFIX} and 24 to 64 random bytes in base64"
        raise ConfigurationError(f"A subscriber's signing secret must be {shape}", subscriber=name)
