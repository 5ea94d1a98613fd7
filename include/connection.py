"""Address and credentials of another system, and checks of its URL. The fields are those of an Airflow connection, without Airflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from include.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Connection:
    """Address and credentials of one system.

    Attributes:
        url: Base URL, without a slash at the end.
        login: User name or client id; empty if there is none.
        password: Password or secret of the login; never shown.
        extra: Further credentials by name (client_id, client_secret, private_key, ...); never shown.
        name: Name of the connection, for errors; None if it has none.
    """

    url: str
    login: str = ""
    password: str = field(default="", repr=False)
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)
    name: str | None = None


def require_https(url: str, what: str, **facts: object) -> None:
    """Check that a URL is safe to send secrets to. Call it before each request to a URL from a setting or a response.

    Args:
        url: The URL. An error names only its scheme and host, because the rest may hold a secret.
        what: Name of the URL, such as the setting; the error's message begins with it.
        **facts: Further values for the error, by name.

    Raises:
        ConfigurationError: The URL is neither https, nor http to the loopback interface.
    """
    if not is_https(url):
        scheme, host = _split(url)
        raise ConfigurationError(
            f"{what} must begin with https:// (http:// is for this machine only); nothing was sent there",
            scheme=scheme or None, host=host or None, **facts,
        )  # fmt: skip


def require_database_url(url: str, what: str) -> str:
    """Return a PostgreSQL URL after checking it. The driver's own error would quote an invalid URL, with its password.

    Args:
        url: The URL.
        what: Name of the setting that has it; the error's message begins with it.

    Raises:
        ConfigurationError: The URL has another scheme, an invalid port, or no host or database.
    """
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme == "postgresql" and bool(parts.hostname and parts.path.strip("/"))
        _ = parts.port
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ConfigurationError(f"{what} is not a URL like postgresql://user:password@host:5432/database")
    return url


def require_known_host(url: str, own: str, domains: Sequence[str], what: str, **facts: object) -> None:
    """Check a URL of a response, to which a token will be sent: it must be https and of a known host.

    Args:
        url: The URL. An error names only its scheme and host.
        own: URL of the connection. Its host is known; if it is the loopback interface, so is the rest of the loopback interface.
        domains: Domains of the vendor; every host in them is known.
        what: Name of the URL; the error's message begins with it.
        **facts: Further values for the error, by name.

    Raises:
        ConfigurationError: The URL is not https, or of an unknown host.
    """
    require_https(url, what, **facts)
    host, ours = _split(url)[1], _split(own)[1]
    is_known = host == ours or (is_loopback(host) and is_loopback(ours))
    if not is_known and not any(f".{host}".endswith(f".{domain}") for domain in domains):
        raise ConfigurationError(
            f"{what} is of a host that is neither the connection's nor the vendor's; nothing was sent there",
            host=host, known=",".join((ours, *domains)), **facts,
        )  # fmt: skip


def is_https(url: str) -> bool:
    """Return whether a URL is https, or is http to the loopback interface. An invalid URL returns False."""
    scheme, host = _split(url)
    return bool(host) and (scheme == "https" or (scheme == "http" and is_loopback(host)))


def is_loopback(host: str) -> bool:
    """Return whether a host is the loopback interface of this machine (127.0.0.0/8, ::1, localhost)."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(url: str) -> tuple[str, str]:
    """Return scheme and host of a URL; two empty texts if the URL is invalid.

    A URL with a backslash is invalid here, because HTTP libraries disagree on whether the backslash ends the host.
    """
    try:
        parts = urlsplit("" if "\\" in url else url)
        _ = parts.port
    except ValueError:
        return "", ""
    return parts.scheme, parts.hostname or ""
