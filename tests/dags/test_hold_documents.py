"""The form that places a retention hold on an envelope's documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.dags.airflow_home import environment, run, said

pytestmark = pytest.mark.airflow

_HOLD = """
import json
from types import SimpleNamespace as Thing
from airflow.dag_processing.dagbag import DagBag
from include.errors import ConfigurationError

dag = DagBag().dags["hold_documents"]

def hold(**form):
    params = dag.params.dump() | {"vendor": "docusign", "reason": "a dispute"} | form
    try:
        return dag.get_task("hold").python_callable(params, Thing(triggering_user_name="counsel"))
    except ConfigurationError as error:
        return str(error)

print("HELD", json.dumps([hold(envelope="e1"), hold(envelope="e2"), hold(envelope="e3", end_hold=True)]))
"""


def test_documents_are_held_or_released_and_an_empty_hold_fails(tmp_path: Path, database: Database) -> None:
    database.do(
        "insert into control.document (vendor, envelope_key, kind, content_hash, bytes, retain_until, held_for)"
        " select 'docusign', envelope, kind, repeat('a', 64), 1, '2033-01-01', held_for"
        " from (values ('e1', null), ('e3', 'an old dispute')) of(envelope, held_for), unnest(array['signed', 'certificate']) kind"
    )
    environ = environment(tmp_path / "airflow", {"tributary_db": database.url()})

    first, nothing, ended = json.loads(said(run(environ, _HOLD), "HELD"))

    assert (first, ended) == (2, 2)
    assert "No document of this envelope is stored" in nothing
    holds = database.rows("select envelope_key as key, held_for, held_by from control.document order by 1")
    assert [tuple(row.values()) for row in holds] == [
        *[("e1", "a dispute", "counsel")] * 2,
        *[("e3", None, "counsel")] * 2,
    ]
