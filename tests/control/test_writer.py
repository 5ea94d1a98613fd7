"""One writer per subject: the newest wins, and an earlier one can change nothing."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from include.control import writer
from include.errors import TargetUnavailable, WriterSuperseded
from tests.conftest import Database

WRITE = sa.text("insert into control.drift (vendor, table_name, field) values ('v', 't', :field)")
SUBJECT = "load:sample:assets:2026-11-20"


def read_fields(database: Database) -> list[str]:
    return [row["field"] for row in database.rows("select field from control.drift order by 1")]


def test_a_writer_without_a_successor_writes(engine: sa.Engine, database: Database) -> None:
    with engine.connect() as connection:
        fence = writer.take(connection, SUBJECT)
        with connection.begin():
            connection.execute(WRITE, {"field": "one"})
            fence.check(connection)
    assert read_fields(database) == ["one"]


def test_a_new_writer_ends_the_previous_open_transaction(engine: sa.Engine, database: Database) -> None:
    with engine.connect() as older, engine.connect() as newer:
        writer.take(older, SUBJECT)
        older.execute(WRITE, {"field": "older"})
        fence = writer.take(newer, SUBJECT)
        newer.execute(WRITE, {"field": "older"})
        fence.check(newer)
        newer.commit()
        with pytest.raises(TargetUnavailable):
            older.execute(WRITE, {"field": "late"})
        older.invalidate()
    assert read_fields(database) == ["older"]


def test_a_writer_that_connects_again_is_still_the_older_one(engine: sa.Engine, database: Database) -> None:
    with engine.connect() as connection:
        old = writer.take(connection, SUBJECT)
    with engine.connect() as connection:
        new = writer.take(connection, SUBJECT)
    assert new.number > old.number
    with engine.connect() as connection:
        connection.execute(WRITE, {"field": "old"})
        with pytest.raises(WriterSuperseded, match="took over"):
            old.check(connection)
    assert read_fields(database) == []


def test_other_subjects_are_left_alone(engine: sa.Engine, database: Database) -> None:
    with engine.connect() as one, engine.connect() as other:
        fence = writer.take(one, SUBJECT)
        one.execute(WRITE, {"field": "one"})
        writer.take(other, SUBJECT + "x")
        fence.check(one)
        one.commit()
    assert read_fields(database) == ["one"]


def test_taking_again_on_the_same_connection_does_not_end_it(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        first = writer.take(connection, SUBJECT)
        second = writer.take(connection, SUBJECT)
        with connection.begin():
            second.check(connection)
        with pytest.raises(WriterSuperseded):
            first.check(connection)


def test_a_check_holds_the_next_writer_back_until_the_commit(engine: sa.Engine, database: Database) -> None:
    """No writer can take over between the last check of the fence and the commit."""
    with engine.connect() as older:
        fence = writer.take(older, SUBJECT)
        older.execute(sa.text("set local application_name = 'another'"))  # otherwise the next writer ends this session
        older.execute(WRITE, {"field": "older"})
        fence.check(older)
        seen: list[list[str]] = []

        def overtake() -> None:
            with engine.connect() as newer:
                writer.take(newer, SUBJECT)
                seen.append(read_fields(database))

        thread = threading.Thread(target=overtake)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        older.commit()
        thread.join(20)
    assert seen == [["older"]]


def test_of_many_that_take_at_once_exactly_one_holds_it(engine: sa.Engine) -> None:
    barrier, fences = threading.Barrier(5), list[writer.Fence]()

    def take() -> None:
        with engine.connect() as connection:
            barrier.wait()
            try:
                fences.append(writer.take(connection, SUBJECT))
            except TargetUnavailable:
                connection.invalidate()

    threads = [threading.Thread(target=take) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    holders = []
    for fence in fences:
        with engine.connect() as connection:
            try:
                fence.check(connection)
            except WriterSuperseded:
                continue
            holders.append(fence)
    assert len(fences) >= 1
    assert len(holders) == 1
