"""A cache that all workers share: in Redis where a firm runs it, otherwise in the database.

Values are sealed before they are stored, so neither Redis nor the database has a token in clear text. A cache may lose any value at any
time. So a value that can't be opened counts as missing, and if Redis fails, the database replaces it until the end of the session.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar
from urllib.parse import parse_qsl, urlsplit

import sqlalchemy as sa

from include.connection import is_loopback
from include.errors import ConfigurationError
from include.keys.sealer import Sealer

log = logging.getLogger(__name__)
T = TypeVar("T")

_TIMEOUT_S = 2.0
_READ = sa.text("select sealed from control.cache where name = :name and expires_at > clock_timestamp()")
_WRITE = sa.text("""
insert into control.cache (name, sealed, expires_at) values (:name, :sealed, clock_timestamp() + make_interval(secs => :seconds))
on conflict (name) do update set sealed = excluded.sealed, expires_at = excluded.expires_at
""")
_DELETE = sa.text("delete from control.cache where name = :name")


class Cache:
    """Sealed values with a time to live.

    Args:
        engine: The control database.
        sealer: Seals the values.
        redis_url: URL of the Redis to use, such as `rediss://:password@host:6379/1`; empty for the database.

    Raises:
        ConfigurationError: The URL is invalid, or would send passwords to another machine without verified TLS.
    """

    def __init__(self, engine: sa.Engine, sealer: Sealer, redis_url: str = "") -> None:
        self._sealer = sealer
        self._database = _Database(engine)
        self._store: _Store = _Redis(redis_url) if redis_url else self._database

    def get(self, name: str) -> str | None:
        """Return a value; None if it is missing, has expired, or can't be opened, such as after its key was removed."""
        sealed = self._use(lambda store: store.read(name))
        if sealed is None:
            return None
        try:
            return self._sealer.open(sealed, _place_of(name))
        except ConfigurationError as error:
            log.warning("Ignoring a cached value: %s", error)
            return None

    def put(self, name: str, value: str, seconds: int) -> None:
        """Store a value for a number of seconds, in place of an earlier one."""
        sealed = self._sealer.seal(value, _place_of(name))
        self._use(lambda store: store.write(name, sealed, seconds))

    def forget(self, name: str) -> None:
        """Remove a value, if there is one."""
        self._use(lambda store: store.delete(name))

    def _use(self, action: Callable[[_Store], T]) -> T:
        try:
            return action(self._store)
        except self._store.errors as error:
            log.warning("Redis is unavailable (%s): using the database as cache", type(error).__name__)
            self._store = self._database
            return action(self._store)


class _Store(Protocol):
    errors: tuple[type[Exception], ...]
    """Errors after which the database replaces the store."""

    def read(self, name: str) -> str | None: ...

    def write(self, name: str, sealed: str, seconds: int) -> None: ...

    def delete(self, name: str) -> None: ...


class _Database:
    errors: tuple[type[Exception], ...] = ()

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def read(self, name: str) -> str | None:
        with self._engine.connect() as connection:
            sealed: str | None = connection.scalar(_READ, {"name": name})
        return sealed

    def write(self, name: str, sealed: str, seconds: int) -> None:
        with self._engine.begin() as connection:
            connection.execute(_WRITE, {"name": name, "sealed": sealed, "seconds": seconds})

    def delete(self, name: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(_DELETE, {"name": name})


class _Redis:
    def __init__(self, url: str) -> None:
        import redis

        _require_tls(url)
        self.errors: tuple[type[Exception], ...] = (redis.RedisError,)
        self._client = redis.Redis.from_url(
            url, socket_connect_timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S, retry=None, decode_responses=True
        )

    def read(self, name: str) -> str | None:
        sealed = self._client.get(_key_of(name))
        return sealed if isinstance(sealed, str) else None

    def write(self, name: str, sealed: str, seconds: int) -> None:
        self._client.set(_key_of(name), sealed, ex=seconds)

    def delete(self, name: str) -> None:
        self._client.delete(_key_of(name))


def _require_tls(url: str) -> None:
    """Raise ConfigurationError unless a URL is valid, and requires a verified certificate of another machine. The error quotes nothing of the URL."""
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ConfigurationError("TRIBUTARY_REDIS_URL is not a URL like rediss://:password@host:6379/1")
    options = {name for name, _ in parse_qsl(parts.query)}
    is_verified = parts.scheme == "rediss" and options <= {"ssl_ca_certs"}
    if not is_verified and not is_loopback(parts.hostname or ""):
        raise ConfigurationError(
            "TRIBUTARY_REDIS_URL must begin with rediss://, and its only option may be ssl_ca_certs; nothing was sent there",
            host=parts.hostname,
        )


def _key_of(name: str) -> str:
    return f"tributary:{name}"


def _place_of(name: str) -> str:
    return f"cache:{name}"
