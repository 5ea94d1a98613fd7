"""Results of validations in the integration database, as runs record them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlencode

from tests.conftest import Database
from tests.operations.records import DAY, LOADED
from tests.warehouse.loading import Loader


def record_validation(
    database: Database, day: date = DAY, *, failed: int = 0, at: datetime = LOADED, **options: object
) -> None:
    """Record the result of one expectation on the partition that `record_day` records; `failed` of 100 rows failed.

    Options: vendor, table, run, expectation, level, measure, is_passed, is_accepted, notes, pulled.
    """
    values: dict[str, object] = {
        "vendor": "orion", "table": "assets", "run": "run-1", "expectation": "expect_column_values_to_be_between(price): 0 to 9",
        "level": "row", "measure": None, "is_passed": failed == 0, "is_accepted": False, "notes": "", "pulled": "current",
    } | options  # fmt: skip
    stage = {
        "pull": f"{values['run']}{values['vendor']}{day}",
        "day": day,
        "failed": failed,
        "at": at,
        "rows": 100 if values["level"] == "row" else 0,
    }
    database.do(
        "insert into control.validation (vendor, table_name, business_date, pull_id, pulled, run_id, expectation, check_name, level, notes,"
        " is_passed, is_accepted, rows_checked, rows_missing, rows_failed, measure, validated_at) values (:vendor, :table, :day, :pull,"
        " :pulled, :run, cast(:expectation as text), split_part(:expectation, ':', 1), :level, :notes, :is_passed, :is_accepted, :rows, 0,"
        " :failed, :measure, :at)",
        **values, **stage,
    )  # fmt: skip


def load_household(database: Database, folder: Path, name: str, key: str = "h1") -> str:
    """Load a household of the vendor `made-up`, with this name and key, an outside account and its copy, and return the path of its lineage page."""
    loader = Loader(database, folder, "made-up")
    loader.load("household", [{"household_key": key, "name": name}])
    accounts = key, f"copy of {key}"
    loader.load(
        "outside_account", [{"outside_account_key": each, "household_key": key, "name": name} for each in accounts]
    )
    value = {"market_value_usd": Decimal(5), "requested_on": DAY}
    loader.load(
        "outside_value", [value | {"outside_value_key": each, "outside_account_key": each} for each in accounts]
    )
    database.do(
        "insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id) select 'account', max(id), min(id), now(), 'run-1'"
        " from warehouse.source_key where entity = 'outside_account'"
    )
    loader.engine.dispose()
    return f"lineage/record?{urlencode({'entity': 'household', 'vendor': 'made-up', 'key': key})}"
