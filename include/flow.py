"""The steps of a vendor-day, each of which can be killed and run again. Airflow's tasks are two lines around these.

stage  ->  validate  ->  transform  ->  publish (load and reconcile: the day becomes visible as a whole, or not at all)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import sqlalchemy as sa

from include import canonical, sessions
from include import transform as transforming
from include.connection import Connection
from include.contract import FanOut, Table, Vendor
from include.control import dead_letters, ledger
from include.control.answers import Answers
from include.control.budget import RateBudget
from include.control.calls import CallLog
from include.control.clocks import Clocks
from include.control.grants import Grants
from include.control.ledger import Counts, Pull
from include.control.rejections import record_rejection
from include.dead_rows import refused_letters, refused_money, sum_money, unreadable_letters
from include.errors import BalanceError, ConfigurationError
from include.extract.closed import closed_through as ask_closed
from include.extract.fan_out import Keys, keys_of
from include.extract.pull import Keep, Span, pull
from include.extract.session import VendorSession
from include.extract.shapes import Source, most_rows
from include.sensitive import Redactor
from include.staging import Manifest, Staging
from include.vendor_settings import configured
from include.warehouse.fact import ended_keys
from include.warehouse.load import load as load_partitions
from include.warehouse.reconcile import Check, reconcile, stop_if_broken
from include.warehouse.reconcile import record as record_checks

_EVIDENCE = 100
"""Rows that become dead letters where more died than the suite bears: the table is at fault, and all its rows come anew."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a firm runs: its database, its staging, its secrets.

    Attributes:
        engine: The database, as the loading role.
        staging: Where partitions live.
        redactor: Hides sensitive values under the firm's key.
        clock: Tells the time, aware; a sandbox may live on another day.
        speed: How many times faster than the wall clock a sandbox's minutes pass.
        machine_clock: The clock of this machine, aware: compared with the database's and the vendor's.
    """

    engine: sa.Engine
    staging: Staging
    redactor: Redactor
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    speed: float = 1.0
    machine_clock: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a vendor's DAG.

    Attributes:
        run_id: Airflow's.
        business_date: The day the data is about.
        previous_date: The session before it.
        full_refresh: Whether edit windows are ignored.
        on_demand: Whether the reserved share of the rate budget may be used.
        is_replay: Whether only dead letters are pulled again.
        keys: Clients that somebody chose; empty for all.
        accept_unusual: Whether an operator accepts a day that compares badly with earlier ones.
    """

    run_id: str
    business_date: date
    previous_date: date
    full_refresh: bool = False
    on_demand: bool = False
    is_replay: bool = False
    keys: tuple[str, ...] = ()
    accept_unusual: bool = False

    @classmethod
    def of_now(cls, run_id: str, now: datetime) -> Run:
        """A run about the present: its day is the one that was closed last."""
        day = sessions.business_date(now)
        return cls(run_id, day, sessions.previous(day))


def stage(site: Site, vendor: Vendor, table_name: str, connection: Connection, run: Run) -> str:
    """Pulls one table into staging and records it.

    Args:
        site: Where the firm runs.
        vendor: The declaration.
        table_name: What to pull.
        connection: Address and credentials.
        run: For which day.

    Returns:
        The partition's path below the staging root.

    Raises:
        TributaryError: As `pull` raises.
    """
    started = time.perf_counter()
    since = None if run.full_refresh else ledger.last_window(site.engine, vendor.name, table_name, site.clock())
    with record_rejection(site.engine, run.run_id, vendor.name, run.business_date, "stage"):
        path = fetch(site, vendor, table_name, connection, run, span_of(site, run, since))
    record_staged(site, vendor, path, run, time.perf_counter() - started)
    return path


def span_of(site: Site, run: Run, edited_since: datetime | None) -> Span:
    """What a run asks for. Whether its day is past is decided here, when it asks, and kept in the manifest."""
    is_past = sessions.is_past(run.business_date, site.clock())
    first = run.previous_date + timedelta(days=1)
    return Span(run.business_date, is_past, first, edited_since, chosen=run.keys)


def fetch(
    site: Site,
    vendor: Vendor,
    table_name: str,
    connection: Connection,
    run: Run,
    span: Span,
    keep: Keep = lambda windows: windows,
) -> str:
    """Pulls one table into staging, which nothing knows of yet; `keep` leaves out rows that are not wanted."""
    vendor = configured(vendor, connection.extra)
    table = vendor.table(table_name)
    answers = Answers(site.engine, run.run_id, vendor.name, table_name, table.hash, site.clock)
    staged = ledger.staged_partition(site.engine, run.run_id, vendor.name, table.over) if table.over else None
    if span.is_pushed:
        answers.forget()  # what a try before this one was told may be old: there is news
    keys = _keys(site, vendor, table, connection, run, staged)
    is_routine = not (span.is_pushed or run.keys or run.full_refresh)
    most = most_rows(vendor.limits.rows, ledger.most_fetched(site.engine, vendor.name, table_name))
    source = Source(keys, staged, answers, site.staging, site.redactor, site.clock, site.speed, is_routine, most)
    with open_session(site, vendor, connection, run, table_name) as session:
        # A fan-out that goes on knows nothing newer than what it was told first.
        path = pull(vendor, table, span, session, site.staging, site.redactor, answers.began_at(), source, keep)
    if isinstance(table.shape, FanOut):
        answers.forget()
    return path


def open_session(site: Site, vendor: Vendor, connection: Connection, run: Run, table_name: str = "") -> VendorSession:
    """Opens a session that takes its turns from the vendor's budget, as the firm has it, and notes its calls."""
    vendor = configured(vendor, connection.extra)
    budget = RateBudget(site.engine, vendor.name, vendor.budget, on_demand=run.on_demand, speed=site.speed)
    calls = CallLog(site.engine, vendor.name, table_name, run.run_id)
    grants = Grants.of(site.engine, vendor.name, site.redactor, connection.extra)
    clocks = Clocks(site.engine, site.machine_clock)
    return VendorSession(vendor, connection, budget, calls, grants, clocks=clocks)


def _keys(site: Site, vendor: Vendor, table: Table, connection: Connection, run: Run, staged: str | None) -> list[Keys]:
    """What a fan-out asks for; empty for other tables."""
    if not isinstance(table.shape, FanOut):
        return []
    if not table.over:
        grants = Grants.of(site.engine, vendor.name, site.redactor, connection.extra)
        if not grants.firsts:
            raise ConfigurationError("The connection holds no grants", vendor=vendor.name)
        return [{"grant": name} for name in sorted(grants.firsts)]
    parent, shape = vendor.table(table.over), table.shape
    keys = keys_of(table, shape, parent, staged, run.keys, site.staging, is_keyed=vendor.is_keyed(parent))
    if not shape.final or run.keys or run.full_refresh:
        return keys
    ended = ended_keys(site.engine, vendor.name, canonical.named(shape.final)) - _going_on(site, parent, shape, staged)
    return [each for each in keys if each[parent.key[0]] not in ended]


def _going_on(site: Site, parent: Table, shape: FanOut, staged: str | None) -> set[str]:
    """Keys that the table which is fanned out over does not know as ended, whatever we know."""
    column, words = shape.ended
    if not column or staged is None:
        return set()
    key = parent.key[0]
    rows = (row for _, part in site.staging.rows(staged, [key, column]) for row in part.to_pylist())
    return {row[key] for row in rows if row[column] not in words}


def closed_through(site: Site, vendor: Vendor, connection: Connection, run: Run) -> date | None:
    """Asks the vendor for the last day that it has closed; raises as `extract.closed.closed_through` does."""
    vendor = configured(vendor, connection.extra)
    with open_session(site, vendor, connection, run) as session:
        return ask_closed(vendor, session)


def record_staged(site: Site, vendor: Vendor, path: str, run: Run, seconds: float) -> None:
    """Writes the ledger's row of a staged partition, its dead letters and its drift; twice changes nothing."""
    manifest = site.staging.manifest(path)
    table = vendor.table(manifest.table)
    letters = list(unreadable_letters(vendor, table, path, site.staging))
    money = sum_money(letters)
    counts = Counts(
        fetched=manifest.fetched,
        staged=manifest.staged,
        duplicate=manifest.duplicate,
        dead=manifest.dead,
        dead_money_usd=money.usd,
        dead_money_unreadable=money.unreadable,
        seconds=round(seconds, 3),
        notes={"money": str(manifest.money), "undeclared": list(manifest.undeclared)},
    )
    of = pull_of(manifest, run)
    with site.engine.begin() as connection:
        ledger.record(connection, of, "stage", counts)
        dead_letters.bury(connection, of, "stage", path, letters, own_day=table.pull == "snapshot")
        for name in manifest.undeclared:
            connection.execute(
                sa.text("""
                insert into control.drift (vendor, table_name, field) values (:vendor, :table_name, :field)
                on conflict (vendor, table_name, field) do update set last_seen_at = clock_timestamp()
                """),
                {"vendor": manifest.vendor, "table_name": manifest.table, "field": name},
            )


def validate(
    site: Site, vendor: Vendor, paths: Mapping[str, str], run: Run, *, rows_only: bool = False
) -> dict[str, int]:
    """Runs the suites over the day's partitions, buries bad rows, and stops an unfit day.

    Of a table of which more rows died than its suite bears only the first become dead letters: which died, and of what,
    stands in its partition whole (`faults.parquet`), and how many in the ledger.

    Args:
        site: Where the firm runs.
        vendor: The declaration.
        paths: Partition by table.
        run: For which day.
        rows_only: Leaves batch-level expectations out (a replay is no whole day).

    Returns:
        Dead letters by table.

    Raises:
        DataQualityError: A batch-level expectation failed; nothing of the day may be loaded.
    """
    from include.validation.check import stop_if_unfit, validate_day

    started = time.perf_counter()
    pulls = {name: pull_of(site.staging.manifest(path), run) for name, path in paths.items()}
    recent = {name: _recent_rows(site.engine, of) for name, of in pulls.items()}
    earlier = {name: _earlier_partitions(site.engine, of) for name, of in pulls.items()}
    outcomes = validate_day(
        vendor, paths, site.staging, recent, earlier=earlier, accept_unusual=run.accept_unusual, rows_only=rows_only
    )
    seconds = round((time.perf_counter() - started) / len(paths), 3)
    for name, outcome in outcomes.items():
        path, of = paths[name], pulls[name]
        table = vendor.table(name)
        buried = min(outcome.refused, _EVIDENCE) if outcome.is_wreck else outcome.refused
        money = refused_money(vendor, table, path, site.staging)
        counts = Counts(
            staged=outcome.staged,
            dead=outcome.refused,
            produced=outcome.staged - outcome.refused,
            dead_money_usd=money.usd,
            dead_money_unreadable=money.unreadable,
            seconds=seconds,
            notes={"failed": outcome.failed, "accepted": outcome.accepted, "buried": buried},
        )
        with site.engine.begin() as connection:
            ledger.record(connection, of, "validate", counts)
            dead_letters.bury(
                connection,
                of,
                "validate",
                path,
                islice(refused_letters(vendor, table, path, site.staging), buried),
                own_day=table.pull == "snapshot",
            )
    with record_rejection(site.engine, run.run_id, vendor.name, run.business_date, "validate"):
        stop_if_unfit(vendor, outcomes)
    return {name: outcome.refused for name, outcome in outcomes.items()}


def transform(site: Site, vendor: Vendor, path: str, run: Run) -> dict[str, int]:
    """Makes the canonical entities of a partition and records them; returns rows by entity."""
    started = time.perf_counter()
    of = pull_of(site.staging.manifest(path), run)
    results = transforming.transform(
        vendor,
        path,
        site.staging,
        lambda table: ledger.staged_partition(site.engine, run.run_id, vendor.name, table),
        lambda table: ledger.last_partition(site.engine, vendor.name, table),
    )
    seconds = round((time.perf_counter() - started) / max(1, len(results)), 3)
    with site.engine.begin() as connection:
        for made in results:
            counts = Counts(
                staged=made.staged,
                produced=made.produced,
                split=made.split,
                merged=made.merged,
                dropped=sum(made.dropped.values()),
                money_in=made.money_in,
                money_out=made.money + made.money_dropped
                if made.money is not None and made.money_in is not None
                else None,
                seconds=seconds,
                notes={
                    "dropped": dict(made.dropped),
                    "money_dropped": str(made.money_dropped),
                    "money_held_back": str(made.money_held_back),
                },
            )
            ledger.record(connection, of, "transform", counts, made.entity)
    return {made.entity: made.produced for made in results}


def load(site: Site, vendor: Vendor, path: str, run: Run) -> dict[str, Counts]:
    """Loads one partition that is no whole day, such as rows that a webhook brought; raises as `warehouse.load` does."""
    of = pull_of(site.staging.manifest(path), run)
    return load_partitions(site.engine, vendor, {path: of}, site.staging)[of.table_name]


def publish(
    site: Site, vendor: Vendor, paths: Sequence[str], run: Run
) -> tuple[dict[str, dict[str, Counts]], list[Check]]:
    """Loads a vendor's day and reconciles it in one transaction: it becomes visible as a whole, or not at all.

    Args:
        site: Where the firm runs.
        vendor: The declaration.
        paths: The day's partitions, transformed.
        run: For which day.

    Returns:
        Counts by table and entity, and what was compared.

    Raises:
        BalanceError: The day does not add up, and dead letters do not explain it. The last good day stays in force; what does
            not agree is in `control.reconciliation` and the tables of breaks.
        TributaryError: As `warehouse.load` raises.
    """
    checks: list[Check] = []

    def verify(connection: sa.Connection) -> None:
        checks[:] = reconcile(connection, vendor, run.business_date, run.previous_date)
        stop_if_broken(vendor.name, run.business_date, checks)
        record_checks(connection, vendor.name, run.business_date, run.run_id, checks)

    partitions = {path: pull_of(site.staging.manifest(path), run) for path in paths}
    if run.is_replay:  # rows that are refused leave the day as it is: in force, and reconciled
        return load_partitions(site.engine, vendor, partitions, site.staging, verify), checks
    with record_rejection(site.engine, run.run_id, vendor.name, run.business_date, "load"):
        try:
            return load_partitions(site.engine, vendor, partitions, site.staging, verify), checks
        except BalanceError:
            with site.engine.begin() as connection:
                record_checks(connection, vendor.name, run.business_date, run.run_id, checks)
            raise


def pull_of(manifest: Manifest, run: Run) -> Pull:
    """How the ledger names the pull of a partition."""
    return Pull(
        run_id=run.run_id,
        vendor=manifest.vendor,
        table_name=manifest.table,
        business_date=manifest.business_date,
        pull_id=manifest.pull_id,
        pulled="replay" if run.is_replay else manifest.pulled,
        extracted_at=manifest.extracted_at,
        window_to=None if manifest.window is None else datetime.fromisoformat(manifest.window[1]),
    )


_LOADED_DAYS = """
    select distinct on (s.business_date) s.business_date, s.pull_id, s.staged
    from control.ledger s
    where s.vendor = :vendor and s.table_name = :table_name and s.stage = 'stage' and s.pulled in ('present', 'past')
      and s.business_date < :business_date
      and exists (select from control.ledger l where l.pull_id = s.pull_id and l.stage = 'load')
    order by s.business_date desc, s.recorded_at desc
"""


def _earlier_partitions(engine: sa.Engine, of: Pull) -> list[str]:
    """Partitions of the two last loaded days of the two weeks before this one, the newest first."""
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text(f"select * from ({_LOADED_DAYS}) days where business_date >= :business_date - 14 limit 2"),  # noqa: S608
            asdict(of),
        )
        return [f"{of.vendor}/{of.table_name}/{row.business_date}/{row.pull_id}" for row in rows]


def _recent_rows(engine: sa.Engine, of: Pull) -> list[int]:
    """Rows of the five last loaded days before this one, of the same kind of pull."""
    with engine.connect() as connection:
        rows = connection.scalars(
            sa.text("""
            select staged from (
                select distinct on (s.business_date) s.business_date, s.staged
                from control.ledger s
                where s.vendor = :vendor and s.table_name = :table_name and s.stage = 'stage' and s.pulled = :pulled
                  and s.business_date < :business_date
                  and exists (select from control.ledger l where l.pull_id = s.pull_id and l.stage = 'load')
                order by s.business_date desc, s.recorded_at desc
            ) days order by business_date desc limit 5
            """),
            asdict(of),
        )
        return [int(n) for n in rows]
