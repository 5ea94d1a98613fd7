"""A pull that timed out, under a real Airflow: it is retried, and repeats no request."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.vendors import named
from tests.conftest import Firm
from tests.dags.airflow_home import ROOT, connections, environment, prepare, said

pytestmark = [pytest.mark.airflow, pytest.mark.long, pytest.mark.timeout(300)]

VENDOR = named("emoney")

_RUN = """
import json
from datetime import timedelta
from airflow.dag_processing.dagbag import DagBag
dag = DagBag().dags["emoney"]
dag.deadline = None
dag.get_task("pull").partial_kwargs["retry_delay"] = timedelta(seconds=1)
run = dag.test(run_conf={"tables": ["clients", "plans", "monte_carlo"]})
print("RAN", json.dumps([run.state, max(ti.try_number for ti in run.get_task_instances())]))
"""


def test_a_pull_that_timed_out_resumes_where_it_stopped(
    tmp_path: Path, start_firm: Callable[..., Firm], airflow_database: Path
) -> None:
    firm = start_firm(VENDOR, now=datetime.now(UTC), households=20, pace=1000)
    environ = environment(tmp_path / "airflow", connections(firm, tmp_path / "alerts.jsonl"))
    environ["AIRFLOW_VAR_TRIBUTARY_SPEED"] = "40"  # about two simulations a second, after the first ten
    prepare(environ, airflow_database)
    running = subprocess.Popen([sys.executable, "-c", _RUN], env=environ, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    query = "select count(*) from control.answer where table_name = 'monte_carlo'"
    while firm.database.value(query) < 11:
        assert running.poll() is None
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGALRM)  # the signal by which Airflow's time-out ends a task
    output, _ = running.communicate(timeout=240)

    assert json.loads(said(output, "RAN")) == ["success", 2], output[-3000:]
    calls = firm.database.rows("select path from control.api_call where table_name = 'monte_carlo' and path like '%/%'")
    paths = Counter(call["path"] for call in calls)
    assert len(paths) > 11
    assert set(paths.values()) == {1}
