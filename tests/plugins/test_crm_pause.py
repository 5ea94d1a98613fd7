"""The Variable that pauses all writes to Salesforce: which values pause them, and that any other value lets nothing through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.dags.airflow_home import ROOT, environment, run, said

pytestmark = pytest.mark.airflow

_READ = """
import json, os
from include.errors import ConfigurationError
from tributary import connections

def read(value):
    os.environ["AIRFLOW_VAR_TRIBUTARY_CRM_PAUSED"] = value
    try:
        paused = connections.is_crm_paused()
    except ConfigurationError as error:
        paused = str(error)
    return paused, connections.describe_crm_pause()

print("READ", json.dumps({value: read(value) for value in VALUES}))
"""
PAUSED = ("true", "True", " TRUE ", "1", "yes", "on", "t", "y")
RUNNING = ("false", "False", "0", "no", "off", "f", "n")
INVALID = ("", "paused", "2", "null")


def test_a_value_pauses_or_does_not_or_is_refused(tmp_path: Path) -> None:
    environ = environment(tmp_path, {}) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    values = [*PAUSED, *RUNNING, *INVALID]
    read = json.loads(said(run(environ, f"VALUES = {values!r}\n{_READ}"), "READ"))
    error = "The Variable tributary_crm_paused is neither true nor false: set it to one of them"
    assert read == {
        **{value: [True, "The Variable tributary_crm_paused is true"] for value in PAUSED},
        **{value: [False, ""] for value in RUNNING},
        **{value: [error, error] for value in INVALID},
    }
