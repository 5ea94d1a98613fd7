"""The form by which a person holds the documents of an envelope."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Database
from tests.dags.airflow_home import environment, prepare, run, said_each, whole_run

pytestmark = pytest.mark.airflow


def test_documents_of_an_envelope_are_held_and_a_hold_of_nothing_is_no_success(
    tmp_path: Path, database: Database, airflow_database: Path
) -> None:
    database.do(
        "insert into control.document (vendor, envelope_key, kind, content_hash, bytes, retain_until)"
        " select 'docusign', 'e1', kind, repeat('a', 64), 1, '2033-01-01' from unnest(array['signed', 'certificate']) kind"
    )
    environ = environment(tmp_path / "airflow", {"tributary_db": database.url()}, tmp_path / "docs")
    prepare(environ, airflow_database)
    form = {"vendor": "docusign", "reason": "a dispute"}

    code = whole_run("hold_documents", **form, envelope="e1") + whole_run("hold_documents", **form, envelope="e2")
    states = [told.split(" ")[0] for told in said_each(run(environ, code), "RUN")]

    assert states == ["success", "failed"]
    held = database.rows("select held_for, held_by from control.document")
    assert [row["held_for"] for row in held] == ["a dispute"] * 2
    assert None not in {row["held_by"] for row in held}

    run(environ, whole_run("hold_documents", **form, envelope="e1", end_hold=True))
    assert [row["held_for"] for row in database.rows("select held_for from control.document")] == [None] * 2
