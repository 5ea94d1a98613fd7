"""The DAG of each vendor under a real Airflow: after a run the warehouse equals the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.contract import Vendor
from tests.conftest import Firm
from tests.dags.airflow_home import connections, environment, prepare, run, said, whole_run
from tests.integration.both_sides import read_both_sides
from tests.running_sandbox import PACE

pytestmark = [pytest.mark.airflow, pytest.mark.long]


def test_a_run_loads_what_the_vendor_states(
    vendor: Vendor, start_firm: Callable[..., Firm], tmp_path: Path, airflow_database: Path
) -> None:
    firm = start_firm(vendor, now=datetime.now(UTC), households=20)
    alerts = tmp_path / "alerts.jsonl"
    environ = environment(tmp_path / "airflow", connections(firm, alerts))
    # The sandbox's pace: at the real one, eMoney's hourly limit makes 23 simulations take over three minutes.
    environ["AIRFLOW_VAR_TRIBUTARY_SPEED"] = str(PACE)
    prepare(environ, airflow_database)

    state, tasks = said(run(environ, whole_run(vendor.name)), "RUN").split(" ", 1)

    assert state == "success", tasks
    theirs, ours = read_both_sides(firm)
    assert ours == theirs
    assert len(ours) > 0
    assert not alerts.exists()
