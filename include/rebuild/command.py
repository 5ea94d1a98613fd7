"""The command `rebuild`: plan the steps, carry over small tables, repeat the steps, compare the result with the original."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator, Iterator, Sequence
from functools import cache

import sqlalchemy as sa

from include.connection import Connection
from include.errors import ConfigurationError, DataQualityError
from include.keys import register
from include.keys.keyring import Keyring
from include.pipeline.run import Site
from include.rebuild import steps as repeating
from include.rebuild.carried import CARRIED, NOT_CARRIED, carry
from include.rebuild.history import Step, read_ledger, read_staging
from include.recovery import check, restore
from include.staging.partitions import Staging
from include.warehouse import schema

_PAUSE_S = 5.0
"""Seconds between two lines of progress."""


def rebuild(
    url: str, original_url: str | None, staging: Staging, keyring: Keyring, *, is_dry: bool = False
) -> Iterator[str]:
    """Create the warehouse again from staging; yield lines for the operator.

    Args:
        url: The empty, migrated database, as its owner (`tributary_migrate`).
        original_url: The original, or a database with a dump of its small tables; it is only read. Its ledger states the exact order of
            the steps, and its small tables are carried over. None if neither exists.
        staging: The staging folder of the original; it is only read.
        keyring: The firm's keys.
        is_dry: Whether to only list what would be loaded.

    Raises:
        DataQualityError: Partitions are missing, days were rejected, or the rebuilt warehouse differs from the original.
        TributaryError: A step failed. Run the command again to continue with this step.
    """
    original = schema.engine(original_url, any_version=True) if original_url else None
    steps = read_ledger(original) if original else read_staging(staging)
    loads = [step for step in steps if step.stage == "load"]
    yield f"{len(loads)} loads, ordered by {'the ledger' if original else 'their extraction, because no ledger is given'}"
    if is_dry:
        available = set(staging.list_partitions())
        yield from (repeating.describe(staging, step, available) for step in loads)
        return
    engine = schema.engine(url)
    register.check(engine, keyring)
    restore.record(engine)  # nothing is written to Salesforce until the org was read back
    if original_url:
        yield from (f"carried over: {table}, {rows:,} rows" for table, rows in carry(original_url, url).items())
    problems = yield from _repeat(Site(engine, staging, keyring), steps, is_exact=original is not None)
    yield from (f"not rebuilt: {each}" for each in [*([] if original else CARRIED), *NOT_CARRIED])
    if original:
        problems += _compare(original, engine)
    yield from problems
    if problems:
        raise DataQualityError("The rebuilt warehouse is not as the original was", problems=len(problems))


def _repeat(site: Site, steps: Sequence[Step], *, is_exact: bool) -> Generator[str, None, list[str]]:
    """Repeat the steps; yield lines about the progress, and return the problems."""
    shown = time.monotonic()
    for progress in repeating.rebuild(site, steps, _connect, is_exact=is_exact):
        if progress.is_done or time.monotonic() > shown + _PAUSE_S:
            shown = time.monotonic()
            yield str(progress)
    return progress.problems


def _compare(original: sa.Engine, engine: sa.Engine) -> list[str]:
    """Return the differences between both databases' marts and tables, as known now; none if the original is a dump of small tables."""
    expected, actual = check.read_fingerprint(original), check.read_fingerprint(engine)
    if not any(sums["rows"] for table, sums in expected["tables"].items() if f"warehouse.{table}" not in CARRIED):
        return []
    return [line for part in ("marts", "tables") for line in check.list_differences(part, expected[part], actual[part])]


@cache
def _connect(vendor: str) -> Connection:
    """Return a vendor's connection with only the extra of AIRFLOW_CONN_<VENDOR>, which may override the vendor's declaration."""
    text = os.environ.get(f"AIRFLOW_CONN_{vendor.upper()}") or "{}"
    try:
        extra = json.loads(text).get("extra") or {}
        extra = json.loads(extra) if isinstance(extra, str) else extra
    except ValueError:
        raise ConfigurationError(f"AIRFLOW_CONN_{vendor.upper()} is not JSON") from None
    return Connection(
        "", extra={name: value if isinstance(value, str) else json.dumps(value) for name, value in extra.items()}
    )
