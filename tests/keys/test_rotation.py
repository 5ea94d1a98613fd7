"""Rotation of the hash key: every stored hash is lifted, and nothing else changes: identities, accounts, marts, later loads."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include import cli
from include.control.dead_letters import DeadLetter
from include.errors import ConfigurationError, TargetUnavailable
from include.identity.resolve import resolve
from include.keys import register, rotation
from include.keys.keyring import Keyring
from include.pipeline import vendor_day
from include.staging.partitions import Staging
from include.vendors import named
from include.warehouse import known_difference, schema
from include.warehouse.load import load
from local.postgres import Postgres
from tests.conftest import Database, Firm, new_database
from tests.firm_keys import KEYRING, write_keyring
from tests.keys.rotated import NEW_KEY, ROTATED, TEXT, hash_account_numbers
from tests.running_sandbox import LAST
from tests.warehouse.loading import DAY, Loader

NUMBER = "8001-2345"
OLD_HASH, NEW_HASH = (keyring.redactor.hash(NUMBER) for keyring in (KEYRING, ROTATED))

TABLES = """
select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = any(:kinds) and not c.relispartition and n.nspname = any(:schemas) order by 1
"""
HASH = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f~])")
NOT_LIFTED = {"control.audit", "control.first_hash", "control.key"}
"""Tables that a rotation does not lift, or that it adds to."""


@pytest.fixture
def database(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Database]:
    """A database of the test's own: that of the loaded firms, or an empty one."""
    if "loaded" in request.fixturenames:
        yield request.getfixturevalue("loaded")["orion"].database
        return
    with new_database(postgres) as empty:
        yield empty


@pytest.fixture
def owner(database: Database) -> Iterator[sa.Engine]:
    opened = schema.engine(database.url("tributary_migrate"))
    yield opened
    opened.dispose()


@pytest.fixture
def rotate(engine: sa.Engine, owner: sa.Engine) -> Callable[[], dict[str, int]]:
    """Rotates the hash key of the test's database, which was written under the old one."""
    register.check(engine, KEYRING)
    return lambda: rotation.rotate(owner, ROTATED)


@contextlib.contextmanager
def pair_up(orion: Firm) -> Iterator[dict[str, Firm]]:
    """Yield two vendors of one firm; the account keys of Tamarac are hashed."""
    declared = hash_account_numbers(named("tamarac"))
    tamarac = Firm(declared, orion.sandbox, orion.database, orion.folder, now=orion.now, runs=orion._runs)
    yield {"orion": orion, "tamarac": tamarac}
    tamarac.engine.dispose()


def load_both(orion: Firm) -> None:
    with pair_up(orion) as firms:
        for firm in firms.values():
            firm.day()
        resolve(orion.engine, [firm.vendor for firm in firms.values()], "identity", LAST)


@pytest.fixture
def firms(start_firm: Callable[..., Firm]) -> Iterator[dict[str, Firm]]:
    """Two vendors of one firm."""
    with pair_up(start_firm(named("orion"), households=6)) as pair:
        yield pair


@pytest.fixture
def loaded(start_firm: Callable[..., Firm]) -> Iterator[dict[str, Firm]]:
    """Two vendors of one firm, whose day is loaded and matched."""
    with pair_up(start_firm(named("orion"), after=load_both, households=6)) as pair:
        yield pair


def read_all(database: Database, kinds: str, *schemas: str) -> dict[str, list[str]]:
    """Read every row of every table or view, as text."""
    names = [row["name"] for row in database.rows(TABLES, kinds=list(kinds), schemas=list(schemas))]
    query = "select q::text as row from {} q"
    return {name: sorted(row["row"] for row in database.rows(query.format(name))) for name in names}


def lift(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    """Lift every hash of rows, wherever it is in them."""
    return {
        name: sorted(HASH.sub(lambda match: ROTATED.redactor.lift(match[0]), row) for row in each)
        for name, each in rows.items()
    }


def test_rotation_lifts_every_hash_and_changes_nothing_else(
    loaded: dict[str, Firm], database: Database, rotate: Any
) -> None:
    tables, marts = read_all(database, "rp", "warehouse", "control"), read_all(database, "v", "mart")

    changed = rotate()

    places = ("person.tax_id_hash", "account.account_number_hash", "source_key.source_key", "position.position_key")
    assert all(changed[f"warehouse.{place}"] for place in places)
    after = read_all(database, "rp", "warehouse", "control")
    lifted = lift({name: rows for name, rows in tables.items() if name.startswith("warehouse.")})
    assert {name: rows for name, rows in after.items() if name.startswith("warehouse.")} == lifted
    assert read_all(database, "v", "mart") == lift(marts)
    assert any(marts.values())


def test_no_old_hash_remains_outside_the_audit_trail(loaded: dict[str, Firm], database: Database, rotate: Any) -> None:
    query = """
    select tax_id_hash as hash from warehouse.person union select account_number_hash from warehouse.account
    union select substring(source_key, '[0-9a-f]{64}') from warehouse.source_key
    """
    hashes = {row["hash"] for row in database.rows(query)} - {None}
    rotate()
    tables = read_all(database, "rp", "warehouse", "control")
    assert [
        name for name, rows in tables.items() if name not in NOT_LIFTED and hashes & set(HASH.findall("".join(rows)))
    ] == []


def test_load_after_a_rotation_changes_nothing(loaded: dict[str, Firm], database: Database, rotate: Any) -> None:
    identities = database.rows("select * from warehouse.identity")
    rotate()
    for firm in loaded.values():
        firm.use(ROTATED)
        counts = firm.day()
        assert {name: (c.inserted, c.updated, c.withdrawn) for name, c in counts.items()} == dict.fromkeys(
            counts, (0, 0, 0)
        )
        assert counts["account"].unchanged
    resolve(loaded["orion"].engine, [firm.vendor for firm in loaded.values()], "again", LAST)
    assert database.rows("select * from warehouse.identity") == identities


@pytest.mark.parametrize("is_transformed", [False, True], ids=["staged", "transformed"])
def test_partition_of_before_a_rotation_loads_after_it(
    loaded: dict[str, Firm], rotate: Any, is_transformed: bool
) -> None:
    firm = loaded["tamarac"]
    run = firm.new_run()
    before = firm.stage(run)
    vendor_day.validate(firm.vendor_run(run), list(before.values()))
    if is_transformed:
        for partition in before.values():
            vendor_day.transform(firm.vendor_run(run), partition)
    rotate()
    firm.use(ROTATED)
    partitions = {name: firm.site.staging.open(partition.path) for name, partition in before.items()}
    if not is_transformed:
        for partition in partitions.values():
            vendor_day.transform(firm.vendor_run(run), partition)
    loaded, _ = vendor_day.publish(firm.vendor_run(run), list(partitions.values()))
    counts = [c for table in loaded.values() for c in table.values()]
    assert sum(c.unchanged for c in counts)
    assert sum(c.inserted + c.updated + c.withdrawn for c in counts) == 0


def test_load_that_began_before_a_rotation_writes_nothing_and_succeeds_when_tried_again(
    firms: dict[str, Firm], database: Database, rotate: Any
) -> None:
    firm = firms["tamarac"]
    run = firm.new_run()
    partitions = firm.stage(run)
    vendor_day.validate(firm.vendor_run(run), list(partitions.values()))
    rotate()
    with pytest.raises(TargetUnavailable, match=r"hash key was rotated meanwhile.*used=1 registered=2"):
        firm.publish(run, partitions)
    assert database.value("select count(*) from warehouse.source_key") == 0
    firm.use(ROTATED)
    counts = firm.publish(run, {name: firm.site.staging.open(each.path) for name, each in partitions.items()})
    assert counts["account"].inserted
    hashes = database.rows(
        "select account_key from warehouse.account union select account_number_hash from warehouse.account"
    )
    assert {str(row["account_key"])[64:] for row in hashes if row["account_key"]} == {"~2"}


def test_staging_that_began_before_a_rotation_records_nothing(
    firms: dict[str, Firm], database: Database, rotate: Any
) -> None:
    rotate()
    with pytest.raises(TargetUnavailable, match="rotated meanwhile"):
        firms["tamarac"].stage(firms["tamarac"].new_run(), "accounts")
    assert database.value("select count(*) from control.ledger") == 0


@pytest.fixture
def loader(database: Database, tmp_path: Path, engine: sa.Engine) -> Iterator[Loader]:
    """Loads rows of an invented vendor that were hashed under the old key."""
    loader = Loader(database, tmp_path, "sample")
    loader.staging = Staging(str(tmp_path), KEYRING.staging, redactor=KEYRING.redactor)
    yield loader
    loader.engine.dispose()


def use_rotated(loader: Loader, folder: Path) -> None:
    loader.staging = Staging(str(folder), ROTATED.staging, redactor=ROTATED.redactor)


def test_dead_letter_of_before_a_rotation_is_closed_by_its_row_after_it(
    loader: Loader, tmp_path: Path, database: Database, rotate: Any
) -> None:
    about = ({"entity": "account", "key": OLD_HASH},)
    loader.load(
        "account",
        [{"account_key": "a"}],
        dead=[DeadLetter(OLD_HASH, ["name: missing"], "dead.jsonl", 0, describes=about)],
    )
    rotate()
    [dead_letter] = database.rows("select row_key, describes, status from control.dead_letter")
    assert dead_letter == {"row_key": NEW_HASH, "describes": [{"entity": "account", "key": NEW_HASH}], "status": "open"}
    use_rotated(loader, tmp_path)
    loader.load("account", [{"account_key": "a"}, {"account_key": NEW_HASH}])
    assert database.value("select status from control.dead_letter") == "replayed"


def test_known_difference_of_before_a_rotation_is_in_force_after_it(
    loader: Loader, tmp_path: Path, database: Database, rotate: Any
) -> None:
    loader.load("account", [{"account_key": OLD_HASH}])
    known_difference.declare(loader.engine, "sample", OLD_HASH, (DAY, DAY), "Held elsewhere", "operator", "declare-1")
    rotate()
    with loader.engine.connect() as connection:
        assert known_difference.find_in_force(connection, "sample", DAY) == {NEW_HASH: "operator"}
    assert database.value("select count(*) from control.audit where action = 'difference.declared'") == 1


def test_history_is_lifted_and_no_version_is_closed(loader: Loader, database: Database, rotate: Any) -> None:
    for name in ("Smith", "Miller"):
        loader.load("account", [{"account_key": OLD_HASH, "account_number_hash": OLD_HASH, "name": name}])
    query = "select account_id, name, valid_from, valid_to, recorded_from, recorded_to, source_run_id from warehouse.account order by 2, 5"
    before = database.rows(query)
    assert rotate()["warehouse.account.account_key"] == len(before) > 1
    assert database.rows(query) == before
    assert database.rows("select distinct account_key, account_number_hash as hash from warehouse.account") == [
        {"account_key": NEW_HASH, "hash": NEW_HASH}
    ]


def test_rotation_waits_for_a_load_and_lifts_its_rows(loader: Loader, database: Database, rotate: Any) -> None:
    loader.stage("account", [{"account_key": OLD_HASH}])
    is_loading, may_commit = threading.Event(), threading.Event()

    def verify(connection: sa.Connection) -> None:
        is_loading.set()
        assert may_commit.wait(60)

    with ThreadPoolExecutor(2) as pool:
        loading = pool.submit(load, loader.engine, loader.vendor, {loader.partition: loader.pull}, verify)
        assert is_loading.wait(60)
        rotating = pool.submit(rotate)
        wait_for_lock(database)
        may_commit.set()
        loading.result(60)
        assert rotating.result(60)["warehouse.account.account_key"] == 1
    assert database.value("select account_key from warehouse.account") == NEW_HASH


def wait_for_lock(database: Database) -> None:
    """Wait until a session waits for a lock."""
    deadline = time.monotonic() + 60
    while not database.value(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_rotation_that_dies_in_the_middle_changes_nothing(
    loader: Loader, owner: sa.Engine, engine: sa.Engine, database: Database, rotate: Any
) -> None:
    loader.load("account", [{"account_key": OLD_HASH}], dead=[DeadLetter(OLD_HASH, ["x"], "dead.jsonl", 0)])
    before = read_all(database, "rp", "warehouse", "control")
    with ThreadPoolExecutor(1) as pool, engine.begin() as connection:
        connection.execute(sa.text("select from control.dead_letter for update"))  # the last table that is lifted
        rotating = pool.submit(rotate)
        wait_for_lock(database)
        with owner.begin() as killer:
            killer.execute(
                sa.text("""
                select pg_terminate_backend(pid) from pg_stat_activity
                where wait_event_type = 'Lock' and datname = current_database()
                """)
            )
        with pytest.raises(TargetUnavailable):
            rotating.result(60)
    assert read_all(database, "rp", "warehouse", "control") == before
    register.check(engine, KEYRING)
    assert rotate()["control.dead_letter.row_key"] == 1


def test_earlier_hashes_are_kept_only_for_salesforce(loader: Loader, database: Database, rotate: Any) -> None:
    loader.load("account", [{"account_key": OLD_HASH}])
    rotate()
    assert database.value("select count(*) from control.first_hash") == 0


def test_second_rotation_lifts_again(loader: Loader, owner: sa.Engine, database: Database, rotate: Any) -> None:
    loader.load("account", [{"account_key": OLD_HASH}])
    rotate()
    third = Keyring.parse(f"{TEXT} hash:third:{64 * '8'}")
    assert rotation.rotate(owner, third)["warehouse.account.account_key"] == 1
    assert database.value("select account_key from warehouse.account") == third.redactor.hash(NUMBER)
    assert rotation.rotate(owner, third) == {}


def test_keyring_of_before_and_of_after_are_refused_until_the_database_has_the_same_keys(
    engine: sa.Engine, rotate: Any
) -> None:
    with pytest.raises(TargetUnavailable, match=r"being rotated.*keyring=test,next database=test"):
        register.check(engine, ROTATED)
    rotate()
    with pytest.raises(TargetUnavailable, match=r"being rotated.*keyring=test database=test,next"):
        register.check(engine, KEYRING)
    register.check(engine, ROTATED)


@pytest.mark.parametrize(
    "text",
    [
        write_keyring("a slip of the pen") + " " + NEW_KEY,
        f"{NEW_KEY} {write_keyring()}",
        write_keyring(key_id="other"),
    ],
    ids=["mistyped", "other order", "without the old key"],
)
def test_keyring_that_does_not_continue_the_database_s_is_refused(
    loader: Loader, owner: sa.Engine, database: Database, rotate: Any, text: str
) -> None:
    loader.load("account", [{"account_key": OLD_HASH}])
    with pytest.raises(ConfigurationError):
        rotation.rotate(owner, Keyring.parse(text))
    assert database.value("select account_key from warehouse.account") == OLD_HASH
    assert database.value("select count(*) from control.key where purpose = 'hash'") == 1


def test_dry_run_counts_and_changes_nothing(
    loader: Loader, database: Database, rotate: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loader.load("account", [{"account_key": OLD_HASH}, {"account_key": "plain"}])
    monkeypatch.setenv("TRIBUTARY_KEYS", TEXT)
    monkeypatch.setenv("TRIBUTARY_MIGRATE_URL", database.url("tributary_migrate"))
    assert cli.main(["rotate-hash-key", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "warehouse.account.account_key: 1 rows",
        "warehouse.source_key.source_key: 1 rows",
        "Nothing was changed.",
    ]
    assert cli.main(["rotate-hash-key"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "All hashes are lifted to the new key."
    assert database.value("select account_key from warehouse.account where account_key <> 'plain'") == NEW_HASH
