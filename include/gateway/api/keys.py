"""API keys, for callers that can't get a token: `trb_<id>_<secret>`, shown once, stored as a hash, always with an expiry.

python -m include.gateway.api.keys make CALLER --scopes status:read records:write:VENDOR.TABLE [--days 90]
python -m include.gateway.api.keys rotate CALLER [--days 90] [--overlap-hours 24]
python -m include.gateway.api.keys list
python -m include.gateway.api.keys revoke KEY_ID

The commands need TRIBUTARY_MIGRATE_URL: only the schema's owner, and administrators in the browser, can create keys. A rotation creates a key with the scopes of the
caller's newest key; the older keys expire at the end of the overlap.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import re
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from include.errors import ConfigurationError, TributaryError
from include.gateway.api.scopes import SCOPES, split
from include.gateway.settings import read_setting
from include.vendors import VENDORS
from include.warehouse import schema

PREFIX = "trb_"
_SHAPE = re.compile(PREFIX + r"([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NO_HASH = bytes(32)
MAX_DAYS = 366

_FIND = sa.text("""
select caller, secret_hash, scopes, expires_at > clock_timestamp() and revoked_at is null as is_live,
       last_used_on is distinct from current_date as is_first_today
from control.api_key where key_id = :key_id
""")
_USE = sa.text("update control.api_key set last_used_on = current_date where key_id = :key_id")
_MAKE = sa.text("select control.create_api_key(:actor, :key_id, :caller, :secret_hash, :scopes, :days)")
_ROTATE = sa.text("select control.rotate_api_key(:actor, :key_id, :caller, :secret_hash, :days, :overlap)")
_REVOKE = sa.text("select control.revoke_api_key(:actor, :key_id)")
_LIST = sa.text("select * from control.api_key order by caller, created_at")


@dataclass(frozen=True, slots=True)
class Grant:
    """The caller and the scopes of a key."""

    caller: str
    scopes: tuple[str, ...]


def find(engine: sa.Engine, text: str) -> Grant | None:
    """Return the caller and scopes of a key; None if the key is unknown, expired or revoked. Record the day of use."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        return None
    key_id, secret = match.groups()
    with engine.begin() as connection:
        row = connection.execute(_FIND, {"key_id": key_id}).first()
        is_match = hmac.compare_digest(bytes(row.secret_hash) if row else _NO_HASH, _hash(secret))
        if row is None or not is_match or not row.is_live:
            return None
        if row.is_first_today:
            connection.execute(_USE, {"key_id": key_id})
    return Grant(row.caller, tuple(row.scopes))


def make(engine: sa.Engine, caller: str, scopes: Sequence[str], days: int, actor: str | None = None) -> str:
    """Create a key and return it; it can't be read again.

    Args:
        engine: The database, as the schema's owner or the role of the pages.
        caller: Name of the program.
        scopes: The scopes of the key.
        days: For how many days the key is valid.
        actor: The user, for the audit trail; None for the role that is connected.

    Raises:
        ConfigurationError: A scope is unknown or missing, or the caller's name or the number of days is invalid.
    """
    unknown = [scope for scope in scopes if not _is_known(scope)]
    if unknown or not scopes:
        problem = f"Unknown scope: {', '.join(unknown)}" if unknown else "A key needs a scope"
        known = f"{', '.join(SCOPES)}, each alone or followed by :<vendor> or :<vendor>.<table>"
        raise ConfigurationError(f"{problem}; known: {known}")
    if not _NAME.fullmatch(caller):
        raise ConfigurationError(
            "Invalid caller's name: use up to 64 letters, digits, dots, dashes and underscores", caller=caller
        )
    _check_days(days)
    values, key = _generate()
    with engine.begin() as connection:
        more = {"actor": actor, "caller": caller, "scopes": sorted(set(scopes)), "days": days}
        connection.execute(_MAKE, values | more)
    return key


def rotate(engine: sa.Engine, caller: str, days: int, overlap: timedelta, actor: str | None = None) -> str:
    """Create and return a key with the scopes of the caller's newest key; the older keys expire after the overlap.

    Args:
        engine: As for `make`.
        caller: Name of the program.
        days: For how many days the new key is valid.
        overlap: How long the older keys stay valid, unless they expire earlier.
        actor: As for `make`.

    Raises:
        ConfigurationError: The caller has no key, or the number of days is invalid.
    """
    _check_days(days)
    values, key = _generate()
    with engine.begin() as connection:
        more = {"actor": actor, "caller": caller, "days": days, "overlap": overlap}
        if not connection.scalar(_ROTATE, values | more):
            raise ConfigurationError("The caller has no key to rotate; create one first", caller=caller)
    return key


def revoke(engine: sa.Engine, key_id: str, actor: str | None = None) -> None:
    """Revoke a key at once. `engine` and `actor` are as for `make`.

    Raises:
        ConfigurationError: The key is unknown or already revoked.
    """
    with engine.begin() as connection:
        if not connection.scalar(_REVOKE, {"actor": actor, "key_id": key_id}):
            raise ConfigurationError("The key is unknown or already revoked", key_id=key_id)


def _check_days(days: int) -> None:
    if not 0 < days <= MAX_DAYS:
        raise ConfigurationError(f"A key must be valid for 1 to {MAX_DAYS} days", days=days)


def _generate() -> tuple[dict[str, object], str]:
    """Return the id and the hash of a new key for the database, and the key for its user."""
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    return {"key_id": key_id, "secret_hash": _hash(secret)}, f"{PREFIX}{key_id}_{secret}"


def _is_known(scope: str) -> bool:
    """Return whether a scope exists, and its limit is a vendor or table that callers can use."""
    base, target = split(scope)
    targets = {vendor.name for vendor in VENDORS} | {f"{v.name}.{t.name}" for v in VENDORS for t in v.requested_tables}
    return bool(base) and (target is None or target in targets)


def _hash(secret: str) -> bytes:
    """Return the hash of a secret that is stored. Unsalted SHA-256 is enough for 256-bit random secrets."""
    return hashlib.sha256(secret.encode()).digest()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; on a `TributaryError`, print one line and return 1."""
    parser = argparse.ArgumentParser(prog="python -m include.gateway.api.keys", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    make_parser = commands.add_parser("make", help="create a key and show it once")
    make_parser.add_argument("--scopes", nargs="+", required=True)
    rotate_parser = commands.add_parser("rotate", help="create a caller's next key, and let the older ones expire")
    rotate_parser.add_argument("--overlap-hours", type=float, default=24.0)
    for each in (make_parser, rotate_parser):
        each.add_argument("caller")
        each.add_argument("--days", type=int, default=90)
    commands.add_parser("list", help="list all keys, without their secrets")
    commands.add_parser("revoke", help="revoke a key at once").add_argument("key_id")
    arguments = parser.parse_args(argv)
    try:
        url = read_setting("TRIBUTARY_MIGRATE_URL")
        if not url.startswith("postgresql://"):
            raise ConfigurationError(
                "TRIBUTARY_MIGRATE_URL must be a URL like postgresql://user:password@host:5432/database"
            )
        engine = schema.engine(url)
        lines = COMMANDS[arguments.command](engine, arguments)
        engine.dispose()
    except TributaryError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _rotate(engine: sa.Engine, arguments: argparse.Namespace) -> list[str]:
    return [rotate(engine, arguments.caller, arguments.days, timedelta(hours=arguments.overlap_hours))]


def _list(engine: sa.Engine, _: argparse.Namespace) -> list[str]:
    with engine.connect() as connection:
        rows = connection.execute(_LIST).all()
    return [
        f"{row.key_id}  {row.caller}  {' '.join(row.scopes)}  until {row.expires_at:%Y-%m-%d %H:%M}"
        f"  used {row.last_used_on or 'never'}{'  REVOKED' if row.revoked_at else ''}"
        for row in rows
    ]


def _revoke(engine: sa.Engine, arguments: argparse.Namespace) -> list[str]:
    revoke(engine, arguments.key_id)
    return []


COMMANDS: dict[str, Callable[[sa.Engine, argparse.Namespace], list[str]]] = {
    "make": lambda engine, arguments: [make(engine, arguments.caller, arguments.scopes, arguments.days)],
    "rotate": _rotate,
    "list": _list,
    "revoke": _revoke,
}

if __name__ == "__main__":
    sys.exit(main())
