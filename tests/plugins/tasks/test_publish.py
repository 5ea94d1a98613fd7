"""A day is not loaded without a table of its plan, such as after a pull was marked as successful by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dags.airflow_home import ROOT, environment, run, said

pytestmark = pytest.mark.airflow

_PUBLISH = """
from include.errors import DataQualityError
from tributary.tasks.vendor_day import publish

try:
    publish.function("orion", [{"table": "accounts", "path": "p"}], {"tables": ["accounts", "assets"]}, run_id="a_run")
except DataQualityError as error:
    print("REFUSED", error)
"""


def test_day_without_a_table_of_its_plan_is_not_loaded(tmp_path: Path) -> None:
    environ = environment(tmp_path, {}) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    assert "[vendor=orion tables=assets]" in said(run(environ, _PUBLISH), "REFUSED")
