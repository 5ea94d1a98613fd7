"""A real Airflow of the tests' own: SQLite, this project's folders, and connections that lead to a test's firm."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.conftest import Firm
from tests.firm_keys import write_keyring
from tests.forked import ROOT, start_airflow


def connections(firm: Firm, alerts: Path, secret: str = "only for tests") -> dict[str, str]:
    """The firm's connections as Airflow reads them from the environment."""
    sandbox = firm.connection
    known: dict[str, dict[str, Any]] = {
        firm.vendor.name: {
            "conn_type": "http", "host": sandbox.url, "login": sandbox.login, "password": sandbox.password,
            "extra": dict(sandbox.extra),
        },
        "salesforce": {
            "conn_type": "http", "host": firm.sandbox.org_url, "login": "tributary",
            "password": "sandbox-only", "extra": {"grant": "client_credentials", "firm": "test", "few": 1_000_000},
        },
        "tributary_staging": {"conn_type": "generic", "extra": {"root": str(firm.folder / "staging")}},
        "tributary_keys": {"conn_type": "generic", "password": write_keyring(secret)},
        "tributary_alerts": {"conn_type": "generic", "password": f"file://{alerts}"},
    }  # fmt: skip
    return {"tributary_db": firm.database.url(), **{name: json.dumps(value) for name, value in known.items()}}


def environment(home: Path, known: dict[str, str]) -> dict[str, str]:
    """The environment of an Airflow process of the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return kept | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "PYTHONPATH": str(ROOT),
        "GX_ANALYTICS_ENABLED": "false",
        **{f"AIRFLOW_CONN_{name.upper()}": value for name, value in known.items()},
    }


def run(environ: dict[str, str], code: str, timeout: int = 240) -> str:
    """Runs Python code inside that Airflow; returns what it printed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = start_airflow(environ, code, folder)
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
        output, errors = ((folder / stream).read_text(encoding="utf-8") for stream in ("stdout", "stderr"))
    assert process.exitcode == 0, output[-3000:] + errors[-3000:]
    return output


# `dag.test()` reads and stores all DAGs of the DAG's bundle at each call, so each DAG's bundle is its file alone.
_TEST = """
import json, os, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
for dag_id in {dag_ids!r}:
    dag = bag.dags[dag_id]
    bundle = {{"name": "tests", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {{"path": dag.fileloc}}}}
    os.environ["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"] = json.dumps([bundle])
    dag.deadline = None  # dag.test() of Airflow 3.3.2 can't look up the deadlines of a DAG that it has just stored
    run = dag.test(run_conf={conf!r})
    print("RUN", run.state, json.dumps({{ti.task_id + ("" if ti.map_index < 0 else "[%d]" % ti.map_index): ti.state for ti in run.get_task_instances()}}))
"""


def prepare(environ: dict[str, str], known: Path) -> None:
    """Gives an Airflow its database, made once and copied after that: Airflow's own migrations take seconds."""
    made = known / "airflow.db"
    home = Path(environ["AIRFLOW_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    if not made.exists():
        run(environ, "from airflow.utils.db import initdb; initdb()")
        copied = known / f"{os.getpid()}.db"
        shutil.copy(home / "airflow.db", copied)
        copied.replace(made)  # whole, or not there
    else:
        shutil.copy(made, home / "airflow.db")


def whole_run(*dag_ids: str, **conf: Any) -> str:
    """Code that runs DAGs from end to end, one after the other, and prints `RUN <state> <tasks>` of each."""
    return _TEST.format(dag_ids=dag_ids, conf=conf)


def said(output: str, word: str) -> str:
    """The rest of the line that begins with a word."""
    return read_lines(output, word)[0]


def read_lines(output: str, word: str) -> list[str]:
    """The rest of each line that begins with a word."""
    return [line[len(word) + 1 :] for line in output.splitlines() if line.startswith(word)]
