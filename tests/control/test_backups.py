"""A backup that is missing is found once it is older than the limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from include.control.backups import find_missing
from include.control.digest import write_digest
from tests.conftest import Database

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LIMIT = timedelta(hours=26)


def back_up(database: Database, at: datetime) -> None:
    database.do("insert into control.backup (known_at, kind) values (:at, 'incr')", at=at)


def install(database: Database, at: datetime) -> None:
    database.do(
        "insert into control.key (purpose, key_id, fingerprint, place, added_at) values ('hash', 'k', 'f', 1, :at)",
        at=at,
    )


@pytest.mark.parametrize(("hours", "number"), [(25, None), (26, None), (27, 1), (49, 1), (50, 2), (74, 3)])
def test_a_backup_is_missing_once_a_day_after_the_limit(
    hours: int, number: int | None, database: Database, engine: sa.Engine
) -> None:
    back_up(database, NOW - timedelta(days=30))
    back_up(database, NOW - timedelta(hours=hours))
    missing = find_missing(engine, NOW, LIMIT)
    assert (missing and missing.number) == number


def test_a_first_backup_is_missed_after_the_installation(database: Database, engine: sa.Engine) -> None:
    assert find_missing(engine, NOW, LIMIT) is None
    install(database, NOW - timedelta(hours=30))
    assert str(find_missing(engine, NOW, LIMIT)) == "no backup has succeeded since the installation, 30 hours ago"


def test_no_backup_is_missed_where_none_are_recorded(database: Database, engine: sa.Engine) -> None:
    install(database, NOW - timedelta(days=30))
    assert find_missing(engine, NOW, timedelta()) is None


def test_the_digest_names_a_missing_backup(database: Database, engine: sa.Engine) -> None:
    back_up(database, NOW - timedelta(hours=40))
    assert write_digest(engine, NOW, LIMIT) == "Backups:\n- the last backup is from 2026-11-25 20:00 UTC, 40 hours ago"
    assert write_digest(engine, NOW) == ""
