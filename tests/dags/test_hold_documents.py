"""The form by which a person holds the documents of an envelope."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Database
from tests.dags.airflow_home import environment, prepare, run, said_each, whole_run

pytestmark = pytest.mark.airflow


def test_documents_are_held_or_held_no_more_and_a_hold_of_nothing_is_no_success(
    tmp_path: Path, database: Database, airflow_database: Path
) -> None:
    database.do(
        "insert into control.document (vendor, envelope_key, kind, content_hash, bytes, retain_until, held_for)"
        " select 'docusign', envelope, kind, repeat('a', 64), 1, '2033-01-01', held_for"
        " from (values ('e1', null), ('e3', 'an old dispute')) of(envelope, held_for), unnest(array['signed', 'certificate']) kind"
    )
    environ = environment(tmp_path / "airflow", {"tributary_db": database.url()}, tmp_path / "docs")
    prepare(environ, airflow_database)
    form = {"vendor": "docusign", "reason": "a dispute"}
    asked = [{"envelope": "e1"}, {"envelope": "e2"}, {"envelope": "e3", "end_hold": True}]

    code = "".join(whole_run("hold_documents", **form, **each) for each in asked)
    states = [told.split(" ")[0] for told in said_each(run(environ, code), "RUN")]

    assert states == ["success", "failed", "success"]
    held = database.rows("select envelope_key, held_for, held_by from control.document order by 1")
    assert [(row["envelope_key"], row["held_for"]) for row in held] == [("e1", "a dispute")] * 2 + [("e3", None)] * 2
    assert None not in {row["held_by"] for row in held}
