"""The chain over the audit trail reveals every change, also one by the database's owner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.audit import chain, trail
from include.audit.chain import Head, Verdict
from include.audit.head import Heads
from include.errors import ConfigurationError, FatalError, TargetUnavailable
from tests.conftest import Database

KEYS = {"first": bytes(32)}
NOW = datetime(2026, 11, 27, 5, 20, 7, tzinfo=UTC)
NAME = "2026-11-27T052007Z.json"


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection]:
    """The database's owner, who has removed what protects the tables."""
    with psycopg.connect(database.url("tributary_migrate"), autocommit=True) as connection:
        for table in ("audit", "audit_seal"):
            connection.execute(f"alter table control.{table} disable trigger only_grows")
        connection.execute("alter table control.audit_seal drop constraint audit_seal_entry_id_fkey")
        yield connection


def record(engine: sa.Engine, count: int = 5) -> None:
    with engine.begin() as connection:
        for number in range(count):
            trail.record(connection, "Pat", "document.opened", f"d{number}", {"number": number})


def state(verdict: Verdict) -> tuple[str, int | None]:
    return verdict.state, verdict.position


def test_an_untouched_trail_is_intact_and_grows(engine: sa.Engine) -> None:
    assert state(chain.verify(engine, KEYS)) == ("intact", None)
    assert chain.seal(engine, KEYS) == Head()
    record(engine)
    head = chain.seal(engine, KEYS)
    record(engine)
    heads = [head, chain.seal(engine, KEYS), chain.seal(engine, KEYS)]
    assert [each.position for each in heads] == [5, 10, 10]
    assert chain.read_head(engine) == heads[-1]
    assert chain.verify(engine, KEYS, heads) == Verdict("intact", 10)


def test_the_newest_publication_is_recorded_and_an_older_one_does_not_replace_it(
    engine: sa.Engine, database: Database
) -> None:
    for position, at in ((1, NOW), (3, NOW + timedelta(hours=1)), (2, NOW)):
        chain.record_publication(engine, Head(position, b"mac"), at)
    assert database.rows("select position, published_at from control.audit_head") == [
        {"position": 3, "published_at": NOW + timedelta(hours=1)}
    ]


def test_entries_are_sealed_in_batches(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "BATCH", 2)
    record(engine)
    assert chain.seal(engine, KEYS).position == 5
    assert chain.verify(engine, KEYS).entries == 5


def test_an_entry_that_commits_late_is_sealed_after_newer_ones(engine: sa.Engine) -> None:
    with engine.connect() as late:
        trail.record(late, "Pat", "document.opened", "late")
        record(engine, 2)
        assert chain.seal(engine, KEYS).position == 2
        late.commit()
    assert chain.seal(engine, KEYS).position == 3
    assert state(chain.verify(engine, KEYS)) == ("intact", None)


@pytest.mark.parametrize(
    "change",
    [
        "update control.audit set actor = 'Sam' where entry_id = {id}",
        "update control.audit set details = details || jsonb '{{\"number\": 7}}' where entry_id = {id}",
        "update control.audit set happened_at = happened_at - interval '1 day' where entry_id = {id}",
        "update control.audit set subject = 'd9' where entry_id = {id}",
        "update control.audit set action = 'report.opened' where entry_id = {id}",
        "update control.audit set database_user = 'tributary_web' where entry_id = {id}",
        "delete from control.audit where entry_id = {id}",
        "update control.audit_seal set mac = sha256('') where position = 3",
        "delete from control.audit_seal where position = 3",
        "delete from control.audit_seal where position = 3; update control.audit_seal set position = position - 1 where position > 3",
    ],
)
def test_a_change_by_the_owner_is_found_at_its_position(
    engine: sa.Engine, owner: psycopg.Connection, change: str
) -> None:
    record(engine)
    chain.seal(engine, KEYS)
    row = owner.execute("select entry_id from control.audit_seal where position = 3").fetchone()
    assert row
    owner.execute(change.format(id=row[0]).encode())
    assert state(chain.verify(engine, KEYS)) == ("edited", 3)


def test_a_cut_end_is_found_by_a_published_head(engine: sa.Engine, owner: psycopg.Connection) -> None:
    record(engine)
    head = chain.seal(engine, KEYS)
    owner.execute("delete from control.audit_seal where position > 3")
    owner.execute("delete from control.audit where entry_id not in (select entry_id from control.audit_seal)")
    assert state(chain.verify(engine, KEYS)) == ("intact", None)
    assert state(chain.verify(engine, KEYS, [head])) == ("truncated", 4)


def test_a_chain_written_anew_with_the_key_is_found_by_a_published_head(
    engine: sa.Engine, owner: psycopg.Connection
) -> None:
    record(engine)
    head = chain.seal(engine, KEYS)
    owner.execute("delete from control.audit_seal")
    owner.execute("update control.audit set actor = 'Sam'")
    chain.seal(engine, KEYS)
    assert state(chain.verify(engine, KEYS)) == ("intact", None)
    assert state(chain.verify(engine, KEYS, [head])) == ("forked", 5)


def test_a_seal_under_another_key_is_not_accepted(engine: sa.Engine) -> None:
    record(engine)
    chain.seal(engine, {"first": b"another key of the same id"})
    assert state(chain.verify(engine, KEYS)) == ("edited", 1)


def test_after_a_rotation_both_keys_verify(engine: sa.Engine) -> None:
    record(engine)
    chain.seal(engine, KEYS)
    record(engine)
    rotated = {**KEYS, "second": b"2" * 32}
    chain.seal(engine, rotated)
    assert chain.verify(engine, rotated).entries == 10
    with pytest.raises(ConfigurationError, match=r"missing.*key_id=second"):
        chain.verify(engine, KEYS)


def add_key(database: Database, key_id: str, place: int) -> None:
    with psycopg.connect(database.url("tributary_migrate"), autocommit=True) as connection:
        connection.execute(
            "insert into control.key (purpose, key_id, fingerprint, place) values ('audit', %s, '', %s)",
            (key_id, place),
        )


def test_a_retired_key_seals_nothing_more(engine: sa.Engine, database: Database) -> None:
    add_key(database, "first", 1)
    record(engine)
    head = chain.seal(engine, KEYS)
    add_key(database, "second", 2)
    record(engine)
    with pytest.raises(TargetUnavailable, match=r"newer audit key is registered.*key_id=first"):
        chain.seal(engine, KEYS)
    with pytest.raises(sa.exc.ProgrammingError, match="audit key first is retired"), engine.begin() as connection:
        connection.execute(
            sa.text("select control.seal_audit(:next, array[:next], 'first', array[sha256('')], now())"),
            {"next": head.position + 1},
        )
    assert chain.seal(engine, KEYS | {"second": bytes(range(32))}).position > head.position


def test_a_seal_of_a_retired_key_is_reported(engine: sa.Engine) -> None:
    """The attacker has the retired key and the rights of the database's owner."""
    keys = KEYS | {"second": bytes(range(32))}
    for some in (KEYS, keys, KEYS):
        record(engine, 2)
        chain.seal(engine, some)
    verdict = chain.verify(engine, keys)
    assert state(verdict) == ("edited", 5)
    assert "sealed with the retired key first" in verdict.reason


def test_entries_that_were_not_sealed_for_hours_are_counted(engine: sa.Engine, owner: psycopg.Connection) -> None:
    record(engine, 2)
    assert chain.verify(engine, KEYS).late == 0
    owner.execute("update control.audit set happened_at = happened_at - interval '4 hours'")
    assert chain.verify(engine, KEYS).late == 2
    chain.seal(engine, KEYS)
    assert chain.verify(engine, KEYS).late == 2  # they may have been inserted only now


def test_a_second_head_at_the_same_position_does_not_hide_the_first(engine: sa.Engine) -> None:
    record(engine)
    head = chain.seal(engine, KEYS)
    assert state(chain.verify(engine, KEYS, [Head(5, b"\x05" * 32), head])) == ("forked", 5)


def test_the_time_of_a_seal_is_part_of_it(engine: sa.Engine, owner: psycopg.Connection) -> None:
    record(engine)
    chain.seal(engine, KEYS)
    owner.execute("update control.audit_seal set sealed_at = sealed_at - interval '1 hour' where position = 2")
    assert state(chain.verify(engine, KEYS)) == ("edited", 2)


def test_a_seal_in_a_wrong_place_is_refused(engine: sa.Engine, database: Database) -> None:
    record(engine)
    chain.seal(engine, KEYS)
    record(engine, 1)
    entry = database.value("select max(entry_id) from control.audit")
    for first in (5, 7, 2**62):
        with (
            psycopg.connect(database.url("tributary_load")) as connection,
            pytest.raises(psycopg.errors.RaiseException, match="does not end before"),
        ):
            connection.execute("select control.seal_audit(%s, %s, 'first', %s, now())", (first, [entry], [bytes(32)]))


def test_no_role_attaches_the_trigger_to_a_table_of_its_own(database: Database) -> None:
    with psycopg.connect(database.url("tributary_load")) as connection:
        connection.execute("create temporary table forged (decided_by text, entity text)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                "create trigger x after insert on forged for each row"
                " execute function control.audit_row('identity.decided', 'decided_by', 'entity', '')"
            )


def test_long_texts_are_cut_and_large_details_are_refused(engine: sa.Engine, database: Database) -> None:
    with engine.begin() as connection:
        trail.record(connection, "a" * 9_000, "document.opened", "s" * 9_000)
    lengths = "select length(actor) as actor, length(subject) as subject from control.audit"
    assert database.rows(lengths) == [{"actor": 200, "subject": 500}]
    with pytest.raises(sa.exc.DBAPIError, match="too long"), engine.begin() as connection:
        trail.record(connection, "a", "document.opened", "s", {"x": "y" * 70_000})


@pytest.mark.parametrize(
    "role", ["tributary_load", "tributary_read", "tributary_web", "tributary_api", "tributary_migrate"]
)
@pytest.mark.parametrize("statement", ["update control.audit set actor = 'Sam'", "delete from control.audit", "truncate control.audit cascade",
                                       "update control.audit_seal set position = 9", "delete from control.audit_seal"])  # fmt: skip
def test_no_role_changes_the_trail(engine: sa.Engine, database: Database, role: str, statement: str) -> None:
    record(engine)
    chain.seal(engine, KEYS)
    with psycopg.connect(database.url(role)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_the_loading_role_can_not_insert_a_seal(engine: sa.Engine, database: Database) -> None:
    record(engine, 1)
    insert = "insert into control.audit_seal select 99, entry_id, 'k', sha256(''), now() from control.audit"
    with (
        psycopg.connect(database.url("tributary_load")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(insert)


def test_the_time_and_the_role_of_an_entry_are_the_sessions(engine: sa.Engine, database: Database) -> None:
    record(engine, 1)
    columns = "happened_at, database_user, actor, action, subject, details"
    insert = f"insert into control.audit ({columns}) values ('2000-01-01', 'x', 'x', 'x', 'x', '{{}}')"
    with (
        psycopg.connect(database.url("tributary_load")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(insert.encode())
    [entry] = database.rows("select *, now() - happened_at < interval '1 minute' as is_new from control.audit")
    assert (entry["database_user"], entry["is_new"]) == ("tributary_load", True)


@pytest.mark.parametrize(
    ("role", "action"),
    [
        ("tributary_load", "data.loaded"),
        ("tributary_web", "identity.decided"),
        ("tributary_api", "document.opened"),
        ("tributary_read", "document.opened"),
        ("tributary_read", "airflow.called"),
    ],
)
def test_no_role_writes_entries_about_what_it_did_not_do(database: Database, role: str, action: str) -> None:
    with (
        psycopg.connect(database.url(role)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="Only the database"),
    ):
        connection.execute("select control.record_audit('Pat', %s, 'x', '{}')", [action])


class TestPublishedHeads:
    HEAD = Head(7, b"\x07" * 32)

    def test_are_never_replaced_and_are_read_in_order(self, tmp_path: Path) -> None:
        heads = Heads(str(tmp_path / "audit"), KEYS)
        assert not heads.publish(NOW, Head())
        assert list(heads.read()) == []
        assert heads.publish(NOW, self.HEAD)
        assert not heads.publish(NOW, Head(8, b"\x08" * 32))
        assert list(heads.read()) == [self.HEAD]
        assert heads.publish(NOW + timedelta(hours=1), Head(8, b"\x08" * 32))
        assert [head.position for head in heads.read()] == [7, 8]
        assert [head.position for head in heads.read(1)] == [8]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
    @given(data=st.data())
    def test_are_refused_if_any_byte_changed(self, tmp_path: Path, data: st.DataObject) -> None:
        folder = tmp_path / "bytes"
        path = folder / NAME
        path.unlink(missing_ok=True)
        heads = Heads(str(folder), KEYS)
        heads.publish(NOW, self.HEAD)
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 127))
        path.write_bytes(content)
        try:
            read = list(heads.read())
        except (FatalError, ConfigurationError):
            return
        assert read == [self.HEAD]  # a change of white space

    def test_are_refused_under_another_time(self, tmp_path: Path) -> None:
        heads = Heads(str(tmp_path), KEYS)
        heads.publish(NOW, self.HEAD)
        (tmp_path / NAME).rename(tmp_path / "2026-11-28T052007Z.json")
        with pytest.raises(FatalError, match="altered or renamed"):
            list(heads.read())

    @pytest.mark.parametrize("signature", [5, None, "é"])
    def test_are_refused_with_a_signature_of_another_kind(self, tmp_path: Path, signature: object) -> None:
        Heads(str(tmp_path), KEYS).publish(NOW, self.HEAD)
        content = json.loads((tmp_path / NAME).read_text()) | {"signature": signature}
        (tmp_path / NAME).write_text(json.dumps(content))
        with pytest.raises(FatalError, match="altered or renamed"):
            list(Heads(str(tmp_path), KEYS).read())

    def test_of_another_key_are_refused(self, tmp_path: Path) -> None:
        Heads(str(tmp_path), {"first": b"another"}).publish(NOW, self.HEAD)
        with pytest.raises(FatalError, match="altered or renamed"):
            list(Heads(str(tmp_path), KEYS).read())
        with pytest.raises(ConfigurationError, match="key_id=first"):
            list(Heads(str(tmp_path), {"second": b"2"}).read())

    def test_are_alone_in_their_folder(self, tmp_path: Path) -> None:
        (tmp_path / "zzz.json").write_text("{}")
        with pytest.raises(FatalError, match=r"Unexpected file.*zzz"):
            list(Heads(str(tmp_path), KEYS).read())

    def test_hold_no_key(self, tmp_path: Path) -> None:
        Heads(str(tmp_path), KEYS).publish(NOW, self.HEAD)
        assert json.loads((tmp_path / NAME).read_text()).keys() == {"position", "mac", "key_id", "signature"}
