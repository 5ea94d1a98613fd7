"""The partitions that the steps of a vendor's day read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date

import pytest

from include.errors import DataQualityError
from include.pipeline import vendor_day
from include.pipeline.run import Run
from include.staging.files import Folder
from include.validation.check import read_outcome
from tests.conftest import Firm


def test_each_step_reads_a_manifest_and_a_whole_part_once(
    start_firm: Callable[..., Firm], monkeypatch: pytest.MonkeyPatch
) -> None:
    firm, reads, read = start_firm(households=6), Counter[str](), Folder.read
    vendor_run = firm.vendor_run(firm.new_run())
    staged = firm.stage(vendor_run.run, "accounts", "assets")

    def count(self: Folder, name: str) -> bytes:
        reads[f"{self.path}/{name}"] += 1
        return read(self, name)

    monkeypatch.setattr(Folder, "read", count)
    for step in (
        lambda opened: vendor_day.validate(vendor_run, opened),
        lambda opened: [vendor_day.transform(vendor_run, each) for each in opened],
        lambda opened: vendor_day.publish(vendor_run, opened),
    ):
        reads.clear()
        step([firm.site.staging.open(each.path) for each in staged.values()])
        often = {name: count for name, count in reads.items() if not name.endswith("dead.jsonl") and count > 1}
        assert reads
        assert often == {}


def record_larger_days(firm: Firm, table: str) -> None:
    """Record that the days before had many more rows of a table."""
    for stage, rows in (("stage", 100_000), ("load", 0)):
        firm.database.do(
            "insert into control.ledger (ledger_id, run_id, vendor, table_name, business_date, stage, pull_id, pulled, extracted_at, fetched,"
            " staged) select nextval('control.ledger_id'), 'earlier', :vendor, :table, date '2026-11-16' + n, :stage, 'p' || n, 'current', now(),"
            " :rows, :rows from generate_series(1, 3) n",
            vendor=firm.vendor.name, table=table, stage=stage, rows=rows,
        )  # fmt: skip


def test_day_that_failed_validation_is_not_loaded_if_its_task_is_marked_as_successful(
    start_firm: Callable[..., Firm],
) -> None:
    firm = start_firm(households=3)
    record_larger_days(firm, "registrations")
    run = firm.new_run()
    staged = firm.stage(run, "registrations")
    with pytest.raises(DataQualityError, match="registrations: "):
        vendor_day.validate(firm.vendor_run(run), list(staged.values()))
    with pytest.raises(DataQualityError, match="failed validation and is not loaded: registrations: "):
        firm.publish(run, staged)
    assert firm.database.value("select count(*) from control.rejection where step = 'load'") == 1
    assert (
        firm.database.value(
            "select count(*) from control.ledger where stage = 'load' and run_id = :run", run=run.run_id
        )
        == 0
    )


def test_day_that_was_not_validated_is_not_loaded_if_its_task_is_marked_as_successful(
    start_firm: Callable[..., Firm],
) -> None:
    firm = start_firm(households=3)
    run = firm.new_run()
    staged = firm.stage(run, "representatives")
    with pytest.raises(DataQualityError, match=r"not validated: clear the task validate .*table=representatives"):
        vendor_day.publish(firm.vendor_run(run), list(staged.values()))
    assert firm.database.value("select count(*) from control.rejection where step = 'load'") == 1


@pytest.mark.parametrize(
    ("day", "starts"),
    [("2026-11-23", True), ("2026-11-24", False), ("2026-09-08", True), ("2027-01-04", True), ("2026-01-02", False)],
)
def test_first_trading_day_of_a_week_starts_it(day: str, starts: bool) -> None:
    assert Run.of_day("run", date.fromisoformat(day)).starts_week is starts


def test_the_result_of_each_expectation_is_recorded_once(start_firm: Callable[..., Firm]) -> None:
    firm = start_firm(households=3)
    vendor_run = firm.vendor_run(firm.new_run())
    staged = firm.stage(vendor_run.run, "accounts", "assets")
    for _ in range(2):
        vendor_day.validate(vendor_run, list(staged.values()))
    recorded = firm.database.rows("select * from control.validation")
    outcomes = [read_outcome(each) for each in staged.values()]
    assert Counter(row["expectation"] for row in recorded) == Counter(
        entry["reason"] for outcome in outcomes for entry in outcome.results
    )
    assert {row["rows_checked"] for row in recorded if row["level"] == "row" and row["table_name"] == "assets"} == {
        staged["assets"].manifest.staged
    }
    measures = {row["check_name"]: row["measure"] for row in recorded if row["level"] == "batch"}
    assert measures["expect_column_values_to_be_between(dead_ratio)"] == 0
    assert {row["run_id"] for row in recorded} == {vendor_run.run.run_id}
