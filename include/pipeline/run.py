"""The context of a step: the firm's environment (`Site`), the DAG run (`Run`), and both with a vendor and connection (`VendorRun`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, Self

import sqlalchemy as sa

from include import business_dates
from include.connection import Connection
from include.contract import Vendor
from include.contract.overrides import apply_overrides
from include.control import ledger
from include.control.ledger import Pull
from include.keys.keyring import Keyring
from include.pipeline.plan import Plan
from include.sensitive import Redactor
from include.staging.partitions import Origin, Partition, Staging


@dataclass(frozen=True, slots=True)
class Site:
    """A firm's environment: its database, staging and secrets.

    Attributes:
        engine: The database, as the loading role.
        staging: Where partitions are stored.
        keyring: The firm's keys.
        clock: Returns the current time with a time zone. With a sandbox, it may be a time of another day.
        speed: How many times faster than real time the sandbox's clock runs; 1 in production.
        redis_url: URL of the Redis that caches tokens; empty for the database.
        machine_clock: Returns this machine's time with a time zone, to detect that it differs from the database's or the vendor's time.
    """

    engine: sa.Engine
    staging: Staging
    keyring: Keyring
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    speed: float = 1.0
    redis_url: str = field(default="", repr=False)
    machine_clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def redactor(self) -> Redactor:
        """Redactor of sensitive values, with the firm's hash keys."""
        return self.keyring.redactor

    def open(self, path: str) -> Partition:
        """Open a partition, and compare its manifest with the ledger.

        Raises:
            FatalError: The partition is incomplete, or is not the one that was staged.
        """
        partition = self.staging.open(path)
        ledger.require_manifest(self.engine, path, partition.manifest_hash)
        return partition

    def open_validated(self, paths: Iterable[str]) -> list[Partition]:
        """Open the partitions that still exist and were validated; leave out the others.

        Raises:
            FatalError: A partition is incomplete, or is not the one that was staged.
        """
        return [self.open(path) for path in paths if self.staging.folder(path).has("faults.parquet")]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a vendor's DAG.

    Attributes:
        run_id: Airflow's run id.
        business_date: The day of the data.
        previous_date: The trading day before the business date.
        full_refresh: Whether to pull all rows of tables that are usually pulled by edit window.
        on_demand: Whether the run may use the share of the rate budget that is reserved for on-demand runs.
        is_replay: Whether the run only replays dead letters.
        keys: Keys of the clients to pull; empty for all.
        accept_unusual: Whether an operator accepts a day that deviates from earlier days, or does not balance.
        user: The user who started the run; empty if unknown.
    """

    run_id: str
    business_date: date
    previous_date: date
    full_refresh: bool = False
    on_demand: bool = False
    is_replay: bool = False
    keys: tuple[str, ...] = ()
    accept_unusual: bool = False
    user: str = ""

    @property
    def accepted_by(self) -> str:
        """The operator who accepts an unusual day; empty if the day is not accepted."""
        return (self.user or "unknown") if self.accept_unusual else ""

    @property
    def starts_week(self) -> bool:
        """Whether the business date is the first trading day of its week."""
        return self.business_date.isocalendar()[:2] != self.previous_date.isocalendar()[:2]

    @property
    def origin(self) -> Origin:
        """The facts about this run that the manifests of its pulls record."""
        return Origin(self.run_id, self.is_replay, self.accepted_by)

    @classmethod
    def of_plan(cls, run_id: str, plan: Plan) -> Run:
        """Return the run of a plan."""
        return cls(
            run_id,
            date.fromisoformat(plan["business_date"]),
            date.fromisoformat(plan["previous_date"]),
            full_refresh=plan["full_refresh"],
            on_demand=plan["on_demand"],
            keys=tuple(plan["keys"]),
            accept_unusual=plan["accept_unusual"],
            user=plan["user"],
        )

    @classmethod
    def of_day(cls, run_id: str, day: date, **options: Any) -> Run:
        """Return a run for a business date; `options` are further fields of the run."""
        return cls(run_id, day, business_dates.previous(day), **options)

    @classmethod
    def of_now(cls, run_id: str, now: datetime | None = None) -> Run:
        """Return a run for the latest closed trading day."""
        return cls.of_day(run_id, business_dates.business_date(now))


@dataclass(frozen=True, slots=True)
class VendorRun:
    """One run for one vendor: the context that all its steps share.

    Attributes:
        site: The firm's environment.
        vendor: The declaration, with the connection's overrides applied.
        connection: Address and credentials.
        run: The run, with its business date.
    """

    site: Site
    vendor: Vendor
    connection: Connection
    run: Run

    def __post_init__(self) -> None:
        object.__setattr__(self, "vendor", apply_overrides(self.vendor, self.connection.extra))

    def copy_with(self, **facts: Any) -> Self:
        """Return a copy with the given fields of the run replaced."""
        return replace(self, run=replace(self.run, **facts))

    def open_staged(self, table: str, *, is_pushed: bool = False) -> Partition | None:
        """Open the partition that this run staged for a table; None if it did not stage the table.

        Args:
            table: Name of the table.
            is_pushed: Whether this is a run between the daily runs.
        """
        path = ledger.find_staged_partition(
            self.site.engine, self.run.run_id, self.vendor.name, table, is_pushed=is_pushed
        )
        return None if path is None else self.site.open(path)

    def open_last_loaded(self, table: str) -> Partition | None:
        """Open the newest loaded partition of a table from a current full pull; None if there is none."""
        path = ledger.find_last_partition(self.site.engine, self.vendor.name, table)
        return None if path is None else self.site.open(path)

    def pull_of(self, partition: Partition) -> Pull:
        """Return the pull to which a partition belongs, as the ledger records it."""
        manifest = partition.manifest
        return Pull(
            run_id=self.run.run_id,
            vendor=manifest.vendor,
            table_name=manifest.table,
            business_date=manifest.business_date,
            pull_id=manifest.pull_id,
            pulled="replay" if self.run.is_replay else manifest.pulled,
            extracted_at=manifest.extracted_at,
            window_to=None if manifest.window is None else datetime.fromisoformat(manifest.window[1]),
            manifest_hash=partition.manifest_hash,
        )
