"""The DAG that drills a restore."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Firm
from tests.dags.airflow_home import run, said, whole_run

pytestmark = pytest.mark.airflow


def test_where_pgbackrest_is_not_installed_the_drill_is_skipped(airflow: dict[str, str], today: Firm) -> None:
    state, tasks = said(run(airflow | {"PATH": "/nonexistent"}, whole_run("restore_drill")), "RUN").split(" ", 1)
    assert (state, json.loads(tasks)) == ("success", {"drill": "skipped"})
    assert today.database.value("select count(*) from control.recovery_drill") == 0
