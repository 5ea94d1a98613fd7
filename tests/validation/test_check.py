"""Suites over a whole vendor-day: an unfit day loads nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.errors import DataQualityError
from include.pipeline import vendor_day
from include.validation import suite as suites_of_tables
from include.validation.suite import read_suite
from tests.conftest import Firm
from tests.validation.vendor_day import BETWEEN, batch, row


@pytest.mark.others_long
def test_unfit_day_loads_nothing(firm: Firm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    strict: Callable[..., Any] = read_suite
    money = next((table for table in firm.vendor.tables if table.agrees), firm.vendor.tables[0])

    def read(vendor: str, table: str) -> Any:
        suite = strict(vendor, table)
        if table != money.name:
            return suite
        (tmp_path / f"{vendor}__{table}.json").write_text(json.dumps({"expectations": [batch("rows", max_value=1)]}))
        return (*suite, *strict(vendor, table, tmp_path))

    monkeypatch.setattr(suites_of_tables, "read_suite", read)
    with pytest.raises(DataQualityError, match=rf"{money.name}: .*\(rows\).*vendor={firm.vendor.name}"):
        firm.day()
    assert firm.database.value("select count(*) from control.ledger where stage in ('transform', 'load')") == 0
    assert firm.database.value("select count(*) from warehouse.source_key") == 0
    steps = firm.database.rows("select table_name, notes from control.ledger where stage = 'validate'")
    assert [s["table_name"] for s in steps if s["notes"]["failed"]] == [money.name]


def test_suite_that_rejects_every_row_is_named_and_limits_dead_letters(
    start_firm: Callable[..., Firm], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    firm, read = start_firm(), read_suite
    narrow = {"expectations": [row(BETWEEN, column="market_value_usd", max_value=-(10**6))]}
    (tmp_path / "orion__assets.json").write_text(json.dumps(narrow))
    monkeypatch.setattr(
        suites_of_tables, "read_suite", lambda v, t: (*read(v, t), *(read(v, t, tmp_path) if t == "assets" else ()))
    )
    run = firm.new_run()
    partitions = firm.stage(run)
    with pytest.raises(
        DataQualityError,
        match=r"suite orion__assets: .*between\(market_value_usd\): at most -1000000 refuses ([\d,]+) of \1 rows",
    ):
        vendor_day.validate(firm.vendor_run(run), list(partitions.values()))
    [step] = firm.database.rows(
        "select * from control.ledger where stage = 'validate' and table_name = 'assets' and staged > 100"
    )
    assert (step["dead"], step["produced"], step["notes"]["dead_letters"]) == (step["staged"], 0, 100)
    assert partitions["assets"].faults.num_rows == step["dead"]
    dead_letters = firm.database.rows("select row_number, reasons from control.dead_letter order by dead_letter_id")
    assert [each["row_number"] for each in dead_letters] == list(range(100))
    assert {reason for each in dead_letters for reason in each["reasons"]} == {
        f"{BETWEEN}(market_value_usd): at most -1000000"
    }
