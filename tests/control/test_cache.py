"""The cache that all workers share, in the database and in a real Redis."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator

import pytest
import redis
import sqlalchemy as sa

from include.control.cache import Cache
from include.errors import ConfigurationError
from include.keys.sealer import Sealer
from local.processes import find_free_port
from local.redis_server import run_redis
from tests.conftest import Database

SEALER = Sealer({"k1": b"1" * 32})
NO_REDIS = "no redis-server is here"


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("redis-server") is None:
        pytest.skip(NO_REDIS)
    with run_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A client of the empty server."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as opened:
        opened.flushall()
        yield opened


@pytest.fixture(params=["database", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    """The setting for each store in turn."""
    if request.param == "database":
        return ""
    request.getfixturevalue("client")
    return str(request.getfixturevalue("redis_url"))


def test_another_worker_reads_the_newest_value(engine: sa.Engine, url: str) -> None:
    for value in ("first", "s3cret"):
        Cache(engine, SEALER, url).put("token", value, 60)
    other = Cache(engine, SEALER, url)
    assert other.get("token") == "s3cret"
    assert other.get("another") is None


def test_a_value_that_was_removed_is_missing(engine: sa.Engine, url: str) -> None:
    cache = Cache(engine, SEALER, url)
    cache.put("token", "s3cret", 60)
    cache.forget("token")
    assert cache.get("token") is None


def test_a_value_expires_in_the_database(engine: sa.Engine, database: Database) -> None:
    cache = Cache(engine, SEALER)
    cache.put("token", "s3cret", 60)
    left = database.value("select extract(epoch from expires_at - now()) from control.cache")
    assert 55 < left <= 61
    database.do("update control.cache set expires_at = now()")
    assert cache.get("token") is None


def test_a_value_expires_in_redis(engine: sa.Engine, client: redis.Redis, redis_url: str) -> None:
    Cache(engine, SEALER, redis_url).put("token", "s3cret", 60)
    assert 55 < client.ttl("tributary:token") <= 60


def test_no_store_has_a_value_in_clear_text(
    engine: sa.Engine, database: Database, client: redis.Redis, redis_url: str
) -> None:
    for setting in ("", redis_url):
        Cache(engine, SEALER, setting).put("token", "s3cret", 60)
    stored = [client.get("tributary:token"), database.value("select sealed from control.cache")]
    assert all(str(each).startswith("k1:") and "s3cret" not in str(each) for each in stored)
    assert client.dbsize() == 1


def test_a_value_can_not_be_moved_to_another_name(engine: sa.Engine, client: redis.Redis, redis_url: str) -> None:
    cache = Cache(engine, SEALER, redis_url)
    cache.put("token", "s3cret", 60)
    client.rename("tributary:token", "tributary:another")
    assert cache.get("another") is None


def test_a_value_under_a_removed_key_is_missing(engine: sa.Engine, url: str) -> None:
    Cache(engine, SEALER, url).put("token", "s3cret", 60)
    assert Cache(engine, Sealer({"k2": b"2" * 32}), url).get("token") is None


def test_the_database_replaces_a_redis_that_is_away(engine: sa.Engine, caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache(engine, SEALER, f"redis://:passw0rd@127.0.0.1:{find_free_port()}/1")
    with caplog.at_level(logging.WARNING):
        assert cache.get("token") is None
        cache.put("token", "s3cret", 60)
    assert cache.get("token") == "s3cret"
    assert Cache(engine, SEALER).get("token") == "s3cret"
    assert caplog.text.count("Redis is unavailable") == 1
    assert "passw0rd" not in caplog.text


def test_nothing_is_sent_to_a_redis_of_another_authority(
    engine: sa.Engine, client: redis.Redis, redis_url: str
) -> None:
    cache = Cache(engine, SEALER, redis_url.replace("ca.pem", "other.pem"))
    cache.put("token", "s3cret", 60)
    assert cache.get("token") == "s3cret"  # from the database
    assert client.dbsize() == 0


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://:passw0rd@redis:6379/1", "must begin with rediss"),
        ("rediss://:passw0rd@redis:6379/1?ssl_cert_reqs=none", "its only option may be ssl_ca_certs"),
        ("rediss://:passw0rd@redis:6379/1?ssl_check_hostname=false", "its only option may be ssl_ca_certs"),
        ("unix:///tmp/redis.sock?password=passw0rd", "is not a URL like"),
        ("rediss://:passw0rd@redis:port/1", "is not a URL like"),
    ],
)
def test_an_address_without_verified_tls_is_refused(engine: sa.Engine, url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as error:
        Cache(engine, SEALER, url)
    assert "passw0rd" not in str(error.value)
