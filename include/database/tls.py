"""Require that a connection to a database on another machine verifies the server's certificate."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg.conninfo import conninfo_to_dict

from include.connection import is_loopback
from include.errors import ConfigurationError

_VERIFYING = ("verify-full", "verify-ca")


def require_verified(url: str) -> None:
    """Check that libpq will verify the server of a PostgreSQL URL. Without it, libpq falls back to an unencrypted connection.

    Not required on this machine.

    Raises:
        ConfigurationError: The URL is invalid, or its host is another machine and `sslmode` is neither verify-full nor verify-ca.
    """
    try:
        known = conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # its text may hold the password
        raise ConfigurationError("The database URL is not like postgresql://user:password@host:5432/database") from None
    if known.get("sslmode") not in _VERIFYING and (remote := [h for h in _hosts(known) if not _is_local(h)]):
        raise ConfigurationError(
            "A database on another machine needs sslmode=verify-full in its URL, so that its certificate is verified",
            host=",".join(remote),
        )


def _hosts(known: Mapping[str, object]) -> list[str]:
    return [host for name in ("host", "hostaddr") for host in str(known.get(name) or "").split(",") if host]


def _is_local(host: str) -> bool:
    """Return whether a host is a folder of Unix sockets or the loopback interface."""
    return host.startswith("/") or is_loopback(host)
