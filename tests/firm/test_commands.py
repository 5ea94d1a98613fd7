"""The commands `config` and `org`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include.cli import main
from include.firm.content import VARIABLE, compute_hash
from tests.conftest import Database
from tests.crm.conftest import SECRET, Crm
from tests.running_sandbox import run_sandbox

MAPPING = "household:\n  fields:\n    Phone: {name: Client_Phone__c}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "firm"))
    return tmp_path / "firm"


def write(folder: Path, **files: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)


def test_a_check_prints_every_mistake(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, thresholds="plan_days: 0\nexcess_cash: 1\n")
    assert main(["config", "check"]) == 1
    *faults, summary = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in faults] == ["thresholds.yaml:1", "thresholds.yaml:2"]
    assert summary == f"2 mistakes in {folder}"
    write(folder, thresholds="plan_days: 0\n")
    assert main(["config", "check"]) == 1
    assert capsys.readouterr().out.endswith(f"\n1 mistake in {folder}\n")


def test_a_check_of_a_valid_folder_prints_its_hash(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check"]) == 0
    assert "nothing is changed" in capsys.readouterr().out
    write(folder, mapping=MAPPING)
    assert main(["config", "check"]) == 0
    assert f"1 difference, {compute_hash(folder)}" in capsys.readouterr().out


def test_a_diff_shows_what_differs_with_its_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, mapping=MAPPING, thresholds="plan_days: 365\nexcess_cash_percent: 7.5\n")
    assert main(["config", "diff"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["where", "what", "from", "to"],
        ["mapping.yaml:3", "household", "Phone", "name", "Phone", "Client_Phone__c"],
        ["thresholds.yaml:2", "threshold", "excess_cash_percent", "10", "7.5"],
    ]


def test_a_diff_of_an_invalid_folder_lists_the_mistakes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, thresholds="plan_days: 0\n")
    assert main(["config", "diff"]) == 1
    assert "1 mistake in the firm's folder" in capsys.readouterr().err


def test_a_start_is_written_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "start"]) == 0
    assert str(folder / "mapping.yaml") in capsys.readouterr().out.splitlines()
    assert main(["config", "diff"]) == 0
    assert capsys.readouterr().out == "No differences\n"
    assert main(["config", "start"]) == 1


def test_a_plan_of_the_org_lists_what_it_lacks_and_writes_it(
    folder: Path,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(folder, mapping=MAPPING)
    monkeypatch.setenv("TRIBUTARY_LOAD_URL", database.url())
    with run_sandbox(tmp_path / "sandbox", households=6) as sandbox:
        crm = Crm(database, sandbox, tmp_path / "work")
        extra = {"grant": "client_credentials", "firm": "sample"}
        connection = {"host": crm.connection.url, "login": "tributary", "password": SECRET, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE", json.dumps(connection))
        assert main(["org", "plan", "--to", str(tmp_path / "plan")]) == 1
        head, missing, last = capsys.readouterr().out.splitlines()
        assert head.split()[:2] == ["state", "what"]
        assert missing.startswith("red    Account.Client_Phone__c  The field is missing")
        assert "Deploy what `python -m include.cli org plan` writes" in missing
        assert last.endswith(f"files to deploy are in {tmp_path / 'plan'}")
        assert (tmp_path / "plan/objects/Account/fields/Client_Phone__c.field-meta.xml").exists()
        assert "Account.Client_Phone__c" in (tmp_path / "plan/package.xml").read_text()

        crm.http.patch("/salesforce/_admin/fields/Account/Client_Phone__c", json={"length": 40}).raise_for_status()
        assert main(["org", "plan", "--to", str(tmp_path / "plan")]) == 0
        assert not (tmp_path / "plan/objects/Account").exists() or not [
            *(tmp_path / "plan/objects/Account").glob("*/*")
        ]
        crm.engine.dispose()
