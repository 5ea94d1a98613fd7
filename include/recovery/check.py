"""Check a restored database before anything runs on it. Compare it with the fingerprint that is stored with the backup.

The database function `control.fingerprint` computes the fingerprint for a time: row counts, exact money sums and fingerprints of keys, as
known at that time. What was known at a time never changes. So a database that was restored to any later time has the same fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from include.audit import chain
from include.errors import ConfigurationError, FatalError, TargetUnavailable
from include.keys import register
from include.keys.keyring import Keyring
from include.staging.partitions import Staging
from include.staging.reference import partition_path
from include.warehouse.schema import FOLDER

_VERSION = sa.text("select max(version_num) from control.schema_version")
_FINGERPRINT = sa.text("select control.fingerprint(cast(:known_at as timestamptz))")
# The ledger's constraints are checked only when a row is written. The backup may have been damaged since.
_COUNT_UNBALANCED = sa.text("""
select format('select count(*) from control.ledger where not (%s)', string_agg(pg_get_expr(conbin, conrelid), ' and '))
from pg_constraint where conrelid = 'control.ledger'::regclass and contype = 'c'
""")
_LOADED = sa.text("""
select distinct vendor, table_name, business_date, pull_id, manifest_hash from control.ledger
where stage = 'load' and manifest_hash is not null order by 1, 2, 3, 4
""")
_DISPOSED = sa.text("""
select string_agg(distinct case action when 'data.disposed' then subject else 'of a forgotten person' end, ', ') from control.audit
where action in ('data.disposed', 'person.forgotten') and happened_at > cast(:known_at as timestamptz)
""")
_WRITTEN = sa.text("""
select format('select %L, count(*) from %s t where not exists (select from control.ledger l where l.ledger_id = t.source_run_id)',
              attrelid::regclass, attrelid::regclass)
from pg_attribute join pg_class c on c.oid = attrelid
where attname = 'source_run_id' and atttypid = 'bigint'::regtype and relnamespace = 'warehouse'::regnamespace and relkind in ('r', 'p')
  and not relispartition order by 1
""")


def find_fingerprint(backups: str, restored_to: datetime) -> dict[str, Any]:
    """Return the newest fingerprint whose time is not after the restored time.

    Args:
        backups: Output of `pgbackrest info --output=json`. Each backup has its fingerprint as an annotation.
        restored_to: The time to which the database was restored.

    Raises:
        ConfigurationError: `backups` is not the output of that command, or every fingerprint in it is newer than the restored time.
    """
    try:
        annotations = [backup.get("annotation", {}) for stanza in json.loads(backups) for backup in stanza["backup"]]
        fingerprints = [json.loads(each["fingerprint"]) for each in annotations if "fingerprint" in each]
        known = {datetime.fromisoformat(each["known_at"]): each for each in fingerprints}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError("The file is not the output of `pgbackrest info --output=json`") from None
    if not (earlier := [known_at for known_at in known if known_at <= restored_to]):
        raise ConfigurationError("No backup has a fingerprint from before the restored time", backups=len(annotations))
    return dict(known[max(earlier)])


def check(
    engine: sa.Engine, keyring: Keyring, fingerprint: Mapping[str, Any], staging: Staging | None = None
) -> list[str]:
    """Compare a restored database with the code, the firm's keys, its own audit trail and ledger, and a fingerprint.

    Args:
        engine: The database, as the migrating role.
        keyring: The firm's keys.
        fingerprint: A fingerprint from the restored time or before; see `find_fingerprint`.
        staging: The staging folder, whose loaded partitions are compared with the ledger; None skips this check.

    Returns:
        One line per problem; empty if there is none.
    """
    return [
        *_check_version(engine),
        *_check_keys(engine, keyring),
        *_check_audit(engine, keyring),
        *_check_ledger(engine),
        *(_check_partitions(engine, staging) if staging else ()),
        *_compare(engine, fingerprint),
    ]


def _check_version(engine: sa.Engine) -> Iterator[str]:
    newest = max(path.name.partition("_")[0] for path in FOLDER.glob("[0-9]*.sql"))
    with engine.connect() as connection:
        version = connection.scalar(_VERSION)
    if version != newest:
        yield f"schema version: {version} in the database, {newest} in this version of Tributary; install the version that wrote the backup"


def _check_keys(engine: sa.Engine, keyring: Keyring) -> Iterator[str]:
    try:
        register.check(engine, keyring)
    except (ConfigurationError, TargetUnavailable) as error:
        yield f"keys: {error}"


def _check_audit(engine: sa.Engine, keyring: Keyring) -> Iterator[str]:
    try:
        verdict = chain.verify(engine, keyring.audit)
    except ConfigurationError as error:
        yield f"audit trail: {error}"
    else:
        if verdict.state != "intact":
            yield f"audit trail: {verdict.state} at position {verdict.position}: {verdict.reason}"


def _check_ledger(engine: sa.Engine) -> Iterator[str]:
    with engine.connect() as connection:
        connection.execute(sa.text("set local statement_timeout = 0"))
        counting = str(connection.scalar(_COUNT_UNBALANCED))
        if unbalanced := connection.exec_driver_sql(counting, execution_options={"no_parameters": True}).scalar():
            yield f"ledger: {unbalanced} rows do not balance"
        for query in connection.scalars(_WRITTEN).all():
            for table, rows in connection.exec_driver_sql(query, execution_options={"no_parameters": True}):
                if rows:
                    yield f"{table}: {rows} rows were written by a load that the ledger does not have"


def _check_partitions(engine: sa.Engine, staging: Staging) -> Iterator[str]:
    with engine.connect() as connection:
        loaded = connection.execute(_LOADED).all()
    for *parts, manifest_hash in loaded:
        path = partition_path(*parts)
        try:
            if staging.folder(path).has("manifest.json") and staging.open(path).manifest_hash != manifest_hash:
                yield f"staging: {path} is not the partition that was loaded"
        except FatalError as error:
            yield f"staging: {error}"


def read_fingerprint(engine: sa.Engine, known_at: str | None = None) -> dict[str, Any]:
    """Return the fingerprint of a database for a time; None for now. It reads the whole warehouse once."""
    with engine.begin() as connection:
        connection.execute(sa.text("set local statement_timeout = 0"))
        return dict(connection.execute(_FINGERPRINT, {"known_at": known_at}).scalar_one())


def _compare(engine: sa.Engine, fingerprint: Mapping[str, Any]) -> Iterator[str]:
    actual = read_fingerprint(engine, fingerprint["known_at"])
    # An upgrade after the backup changes the version, and may add tables. The version is compared with that of the code.
    parts = sorted(fingerprint.keys() - {"known_at", "schema_version"})
    differences = [line for part in parts for line in list_differences(part, fingerprint.get(part), actual.get(part))]
    yield from differences
    if differences:
        yield from _list_disposals(engine, fingerprint["known_at"])


def _list_disposals(engine: sa.Engine, known_at: str) -> Iterator[str]:
    """Yield one line if rows were disposed of after the fingerprint: then it may count more rows than the database has."""
    with engine.connect() as connection:
        if tables := connection.scalar(_DISPOSED, {"known_at": known_at}):
            yield f"disposal: rows were disposed of after the fingerprint, which may explain that it has more: {tables}"


def list_differences(path: str, expected: object, actual: object) -> Iterator[str]:
    """Yield one line for each value of the expected fingerprint that differs in the actual one, or is missing there.

    Args:
        path: Name of the part of the fingerprint that is compared; each line begins with it.
        expected: The part in the expected fingerprint: an object, or a value.
        actual: The same part in the actual fingerprint.
    """
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name in sorted(expected):
            yield from list_differences(f"{path} {name}", expected.get(name), actual.get(name))
    elif expected != actual:
        yield f"{path}: {expected} in the fingerprint, {actual} in the database"
