"""Reports: which finding about a subject counts, and what is stored."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from include.check.report import Finding, Findings, find_worst, read_history, read_newest, record


def test_the_first_of_the_worst_findings_about_a_subject_counts() -> None:
    findings = Findings()
    findings.add("a", "green", "fits")
    findings.add("b", "grey", "was not checked")
    findings.add("a", "red", "the first fault", "fix it")
    findings.add("a", "red", "the second fault", "fix it")
    findings.add("a", "amber", "another", "look")
    assert findings.list() == [
        Finding("a", "red", "the first fault", "fix it"),
        Finding("b", "grey", "was not checked"),
    ]
    assert find_worst(findings.list()) == "red"
    assert find_worst([]) == "green"


def test_a_red_finding_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="needs an action"):
        Finding("a", "red", "a fault")


def test_the_newest_report_and_the_history_are_read(engine: sa.Engine) -> None:
    for number, state in enumerate(("red", "green")):
        record(engine, "orion", f"run-{number}", [Finding("login", state, "x", "y")])  # type: ignore[arg-type]
    record(engine, "tamarac", "run-2", [])
    with engine.connect() as connection:
        newest = read_newest(connection)
        assert [(report.system, report.run_id, report.state) for report in newest] == [
            ("orion", "run-1", "green"), ("tamarac", "run-2", "green"),
        ]  # fmt: skip
        assert newest[0].count("green") == 1
        assert [row.state for row in read_history(connection, "orion")] == ["green", "red"]
        assert read_newest(connection, "nitrogen") == []
