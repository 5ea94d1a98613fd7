"""API keys, for callers that can't get a token: `trb_<id>_<secret>`, shown once, kept as a hash, and never without an end.

python -m include.gateway.api.keys make CALLER --scopes status:read findings:read [--days 90]
python -m include.gateway.api.keys rotate CALLER [--days 90] [--overlap-hours 24]
python -m include.gateway.api.keys list
python -m include.gateway.api.keys revoke KEY_ID

They need TRIBUTARY_MIGRATE_URL: only the schema's owner makes keys. A rotation makes a key like the caller's newest; the older
ones end when the overlap does.
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
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from include.errors import ConfigurationError, TributaryError
from include.gateway.api.scopes import SCOPES
from include.gateway.settings import read_setting
from include.warehouse import schema

PREFIX = "trb_"
_SHAPE = re.compile(PREFIX + r"([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NOBODY = bytes(32)
MAX_DAYS = 366

_FIND = sa.text("""
select caller, secret_hash, scopes, expires_at > clock_timestamp() and revoked_at is null as is_live,
       last_used_on is distinct from current_date as is_first_today
from control.api_key where key_id = :key_id
""")
_USE = sa.text("update control.api_key set last_used_on = current_date where key_id = :key_id")
_MAKE = sa.text("""
insert into control.api_key (key_id, caller, secret_hash, scopes, expires_at)
values (:key_id, :caller, :secret_hash, :scopes, :expires_at)
""")
_NEWEST = sa.text("""
select scopes from control.api_key where caller = :caller and revoked_at is null order by created_at desc limit 1
""")
_END = sa.text("""
update control.api_key set expires_at = least(expires_at, :ends_at)
where caller = :caller and key_id <> :key_id and revoked_at is null
""")
_REVOKE = sa.text(
    "update control.api_key set revoked_at = clock_timestamp() where key_id = :key_id and revoked_at is null"
)
_LIST = sa.text("select * from control.api_key order by caller, created_at")


@dataclass(frozen=True, slots=True)
class Known:
    """Whose a key is."""

    caller: str
    scopes: tuple[str, ...]


def find(engine: sa.Engine, text: str) -> Known | None:
    """Returns whose a key is; None where it is unknown, expired or revoked."""
    shaped = _SHAPE.fullmatch(text)
    if shaped is None:
        return None
    key_id, secret = shaped.groups()
    with engine.begin() as connection:
        row = connection.execute(_FIND, {"key_id": key_id}).first()
        is_right = hmac.compare_digest(bytes(row.secret_hash) if row else _NOBODY, _hash(secret))
        if row is None or not is_right or not row.is_live:
            return None
        if row.is_first_today:
            connection.execute(_USE, {"key_id": key_id})
    return Known(row.caller, tuple(row.scopes))


def make(engine: sa.Engine, caller: str, scopes: Sequence[str], days: int) -> str:
    """Makes a key and returns it; nobody can read it again.

    Raises:
        ConfigurationError: There is no such scope, or the caller's name or the days can't be meant so.
    """
    with engine.begin() as connection:
        return _make(connection, caller, scopes, days)


def rotate(engine: sa.Engine, caller: str, days: int, overlap: timedelta) -> str:
    """Makes a key like the caller's newest and returns it; its older keys end after the overlap.

    Raises:
        ConfigurationError: The caller has no key.
    """
    with engine.begin() as connection:
        scopes = connection.scalar(_NEWEST, {"caller": caller})
        if scopes is None:
            raise ConfigurationError("The caller has no key", caller=caller)
        made = _make(connection, caller, scopes, days)
        ends_at = datetime.now(UTC) + overlap
        connection.execute(_END, {"caller": caller, "key_id": made.split("_")[1], "ends_at": ends_at})
    return made


def revoke(engine: sa.Engine, key_id: str) -> None:
    """Ends a key at once.

    Raises:
        ConfigurationError: There is no such key, or it is revoked.
    """
    with engine.begin() as connection:
        if not connection.execute(_REVOKE, {"key_id": key_id}).rowcount:
            raise ConfigurationError("There is no such key to revoke", key_id=key_id)


def _make(connection: sa.Connection, caller: str, scopes: Sequence[str], days: int) -> str:
    if unknown := set(scopes) - SCOPES.keys():
        raise ConfigurationError(f"There is no scope {', '.join(sorted(unknown))}; there are {', '.join(SCOPES)}")
    if not _NAME.fullmatch(caller):
        raise ConfigurationError("A caller's name has letters, digits, dots and dashes", caller=caller)
    if not 0 < days <= MAX_DAYS:
        raise ConfigurationError(f"A key lives for 1 to {MAX_DAYS} days", days=days)
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    values = {"key_id": key_id, "caller": caller, "secret_hash": _hash(secret), "scopes": sorted(set(scopes))}
    connection.execute(_MAKE, values | {"expires_at": datetime.now(UTC) + timedelta(days=days)})
    return f"{PREFIX}{key_id}_{secret}"


def _hash(secret: str) -> bytes:
    """Plain: there is nothing to guess in 256 random bits, so nothing to slow down."""
    return hashlib.sha256(secret.encode()).digest()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; an error of ours is one line, and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m include.gateway.api.keys", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="make a key and show it once")
    making.add_argument("--scopes", nargs="+", required=True)
    rotating = commands.add_parser("rotate", help="make the next key of a caller, and let the older ones end")
    rotating.add_argument("--overlap-hours", type=float, default=24.0)
    for each in (making, rotating):
        each.add_argument("caller")
        each.add_argument("--days", type=int, default=90)
    commands.add_parser("list", help="show every key but its secret")
    commands.add_parser("revoke", help="end a key at once").add_argument("key_id")
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


def _rotate(engine: sa.Engine, asked: argparse.Namespace) -> list[str]:
    return [rotate(engine, asked.caller, asked.days, timedelta(hours=asked.overlap_hours))]


def _list(engine: sa.Engine, _: argparse.Namespace) -> list[str]:
    with engine.connect() as connection:
        rows = connection.execute(_LIST).all()
    return [
        f"{row.key_id}  {row.caller}  {' '.join(row.scopes)}  until {row.expires_at:%Y-%m-%d %H:%M}"
        f"  used {row.last_used_on or 'never'}{'  REVOKED' if row.revoked_at else ''}"
        for row in rows
    ]


def _revoke(engine: sa.Engine, asked: argparse.Namespace) -> list[str]:
    revoke(engine, asked.key_id)
    return []


COMMANDS: dict[str, Callable[[sa.Engine, argparse.Namespace], list[str]]] = {
    "make": lambda engine, asked: [make(engine, asked.caller, asked.scopes, asked.days)],
    "rotate": _rotate,
    "list": _list,
    "revoke": _revoke,
}

if __name__ == "__main__":
    sys.exit(main())
