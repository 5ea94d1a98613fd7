"""Who is told of what, and where."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

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
"""All that there is to be told of; the database's triggers write them."""

_PREFIX = "whsec_"
_SECRET_BYTES = range(24, 65)


def expand(patterns: Iterable[str], subscriber: str) -> tuple[str, ...]:
    """Returns the types that any of some patterns, such as `tributary.finding.*`, names.

    Raises:
        ConfigurationError: A pattern names none.
    """
    named = {pattern: [known for known in TYPES if fnmatchcase(known, pattern)] for pattern in patterns}
    if nothing := [pattern for pattern, found in named.items() if not found]:
        raise ConfigurationError("There is no such type of event", subscriber=subscriber, type=" ".join(nothing))
    return tuple(known for known in TYPES if any(known in found for found in named.values()))


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One receiver of events.

    Attributes:
        name: By which we know it.
        url: Where events are posted; never shown, for some receivers keep a secret in it.
        secrets: Under each of which every event is signed; never shown.
        types: Those of `TYPES` that it wants.
        vendors: Of which alone it wants to hear; none: of all.
        networks: In which its address may be, beside public ones.
    """

    name: str
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    types: tuple[str, ...] = TYPES
    vendors: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, name: str, url: str, secrets: str, extra: Mapping[str, Any]) -> Subscriber:
        """Reads what a connection says.

        Args:
            name: The connection's.
            url: `https://...`; `http://` to this machine only.
            secrets: `whsec_...`, separated by blanks.
            extra: `types`, such as `tributary.finding.* tributary.load.committed`; `vendors`. Without them: everything. `networks`,
                such as `10.20.0.0/16`, in which its address may be; without them: public addresses only.

        Raises:
            ConfigurationError: Something of it can't be meant.
        """
        if unknown := sorted(set(extra) - {"types", "vendors", "networks"}):
            raise ConfigurationError("A subscriber has unknown settings", subscriber=name, unknown=", ".join(unknown))
        networks = _read_networks(name, str(extra.get("networks") or ""))
        _check_url(name, url, networks)
        known = tuple(secrets.split())
        if not known:
            raise ConfigurationError("A subscriber has no signing secret", subscriber=name)
        for secret in known:
            _check_secret(name, secret)
        wanted = expand(str(extra.get("types") or "*").split(), name)
        return cls(name, url, known, wanted, tuple(str(extra.get("vendors") or "").split()), networks)


def _read_networks(name: str, text: str) -> tuple[Network, ...]:
    try:
        return read_networks(text)
    except ValueError:
        raise ConfigurationError("A subscriber's `networks` are none like 10.20.0.0/16", subscriber=name) from None


def _check_url(name: str, url: str, networks: tuple[Network, ...]) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if not host or parts.scheme not in ("https", "http"):
        raise ConfigurationError("A subscriber's address is no URL like https://host/path", subscriber=name)
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigurationError("A subscriber's address must be https, but on this machine", subscriber=name)
    try:
        ip_address(host)
    except ValueError:
        return  # a name: its addresses are checked when it is resolved
    try:
        check([host], networks)
    except AddressNotAllowed as error:
        raise ConfigurationError(str(error), subscriber=name) from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_secret(name: str, secret: str) -> None:
    try:
        size = len(base64.b64decode(secret.removeprefix(_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not secret.startswith(_PREFIX) or size not in _SECRET_BYTES:
        shape = f"{_PREFIX} and 24 to 64 random bytes in base64"
        raise ConfigurationError(f"A subscriber's signing secret must be {shape}", subscriber=name)
