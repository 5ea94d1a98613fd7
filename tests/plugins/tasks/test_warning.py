"""The warning of a run with dead rows: once for the same content, again for other content of the same run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.control.test_digest import die
from tests.dags.airflow_home import ROOT, environment, run

pytestmark = pytest.mark.airflow

_WARN = """
from types import SimpleNamespace as Thing
from tributary.tasks.vendor_day import report_warnings

report_warnings.function("orion", run_id="a_run", dag_run=Thing(dag_id="orion"))
"""


def test_a_run_warns_once_of_the_same_rows_and_again_of_others(tmp_path: Path, database: Database) -> None:
    definitions = {
        "tributary_db": database.url(),
        "tributary_alerts": json.dumps({"conn_type": "generic", "password": f"file://{tmp_path / 'alerts'}"}),
    }
    environ = environment(tmp_path, definitions) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    die(database, "1", datetime.now(UTC), run="a_run")
    for _ in range(2):
        run(environ, _WARN)
    die(database, "2", datetime.now(UTC), run="a_run")
    for _ in range(2):
        run(environ, _WARN)

    bodies = [json.loads(line)["body"] for line in (tmp_path / "alerts").read_text().splitlines()]
    assert ["orion.assets: 1 dead letters" in bodies[0], "orion.assets: 2 dead letters" in bodies[1]] == [True, True]
    assert len(bodies) == 2
