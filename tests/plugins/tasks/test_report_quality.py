"""The task that builds the data quality pages: skipped if this run validated nothing, whatever an earlier run did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from include.pipeline import vendor_day
from include.validation.site import read_site
from tests.conftest import Firm
from tests.dags.airflow_home import ROOT, connections, environment, read_lines, run

pytestmark = pytest.mark.airflow

_REPORT = """
from airflow.sdk.exceptions import AirflowSkipException
from tributary.tasks.vendor_day import report_quality

for partitions in {each!r}:
    try:
        print("REPORTED", report_quality.function(partitions, run_id="a_run"))
    except AirflowSkipException as skipped:
        print("REPORTED", skipped)
"""


def test_without_a_validated_partition_it_is_skipped(start_firm: Callable[..., Firm], tmp_path: Path) -> None:
    firm = start_firm(households=6)
    environ = environment(tmp_path / "airflow", connections(firm, tmp_path / "alerts"))
    environ["PYTHONPATH"] = f"{ROOT}:{ROOT / 'plugins'}"
    day = firm.new_run()
    staged = firm.stage(day, "representatives")
    partitions = [each.reference for each in staged.values()]
    reported = read_lines(run(environ, _REPORT.format(each=[None, [], partitions])), "REPORTED")
    assert reported == ["Nothing was validated in this run; the pages show earlier runs"] * 3

    vendor_day.validate(firm.vendor_run(day), list(staged.values()))
    [page] = read_lines(run(environ, _REPORT.format(each=[partitions])), "REPORTED")
    assert page == "/data-docs/"
    assert [each.run_name for each in read_site(firm.site.staging).results] == ["a_run"]
