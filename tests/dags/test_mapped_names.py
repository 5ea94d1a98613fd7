"""A mapped task of a vendor's run shows its table from its start, so that an alert can name the table."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Firm
from tests.dags.airflow_home import whole_run
from tests.forked import start_airflow

pytestmark = pytest.mark.airflow

TABLES = ["representatives", "clients"]


def read_names(airflow: dict[str, str]) -> dict[tuple[str, int], tuple[str, str | None]]:
    """Read the state and the rendered name of each mapped task, by task and index."""
    uri = f"file:{Path(airflow['AIRFLOW_HOME']) / 'airflow.db'}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
        rows = connection.execute(
            "select task_id, map_index, state, rendered_map_index from task_instance where map_index >= 0"
        ).fetchall()
    return {(task, index): (state, name) for task, index, state, name in rows}


@pytest.mark.long
def test_a_mapped_task_shows_its_table_while_it_runs(airflow: dict[str, str], today: Firm, tmp_path: Path) -> None:
    for table in TABLES:
        today.sandbox.fault("latency", f"portfolio/{table}", seconds=3)
    code = whole_run("orion", tables=TABLES, wait=False)
    seen: dict[int, str | None] = {}
    running = start_airflow(airflow, code, tmp_path)
    try:
        while running.is_alive():
            for (task, index), (state, name) in read_names(airflow).items():
                if task == "pull" and state == "running":
                    seen[index] = seen.get(index) or name
            time.sleep(0.05)
    finally:
        running.kill()
        running.join()

    assert seen == dict(enumerate(TABLES))
    names = {place: name for place, (_, name) in read_names(airflow).items()}
    assert names == {(task, n): table for task in ("pull", "transform") for n, table in enumerate(TABLES)}
