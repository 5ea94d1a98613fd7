"""The command `check`: it prints every finding, stores the report, and its exit code says whether anything is red."""

from __future__ import annotations

import json

import pytest

from include import cli
from include.check.report import read_newest
from tests.check.planted import connect
from tests.conftest import Firm
from tests.firm_keys import write_keyring


@pytest.fixture
def configured(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> Firm:
    """A firm whose settings are in the environment."""
    monkeypatch.setenv("TRIBUTARY_LOAD_URL", firm.database.url())
    monkeypatch.setenv("TRIBUTARY_KEYS", write_keyring())
    monkeypatch.setenv("TRIBUTARY_STAGING_ROOT", str(firm.folder / "staging"))
    monkeypatch.setenv("AIRFLOW_CONN_TRIBUTARY_ALERTS", json.dumps({"password": f"file://{firm.folder}/alerts.jsonl"}))
    configure(firm, monkeypatch)
    return firm


def configure(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    known = firm.connection
    fields = {"host": known.url, "login": known.login, "password": known.password, "extra": dict(known.extra)}
    monkeypatch.setenv(f"AIRFLOW_CONN_{firm.vendor.name.upper()}", json.dumps(fields))


@pytest.mark.parametrize("vendor", ["orion"], indirect=True)
def test_a_check_prints_and_stores_its_findings(configured: Firm, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--system", "orion"]) == 0
    printed = capsys.readouterr().out
    assert "green  orion  assets: 100 rows fit" in printed
    with configured.engine.connect() as connection:
        [report] = read_newest(connection)
    assert (report.system, report.state) == ("orion", "grey")
    assert [
        f"{each.state:<5}  orion  {each.subject}: {each.detail}" for each in report.findings
    ] == printed.splitlines()


@pytest.mark.parametrize("vendor", ["orion"], indirect=True)
def test_a_red_finding_is_an_exit_code(
    configured: Firm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(password="wrong")(configured)
    configure(configured, monkeypatch)
    assert cli.main(["check", "--system", "orion"]) == 1
    assert "red    orion  login: " in (printed := capsys.readouterr().out)
    assert "-> Correct the credentials" in printed
    assert configured.database.value("select state from control.check_report") == "red"


@pytest.mark.parametrize("vendor", ["orion"], indirect=True)
@pytest.mark.parametrize(
    ("system", "says"), [("nobody", "Unknown system"), ("tamarac", "AIRFLOW_CONN_TAMARAC is not set")]
)
def test_a_system_that_is_not_configured_is_red(
    configured: Firm, system: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", "--system", system, "--system", "orion"]) == 1
    printed = capsys.readouterr().out
    assert says in printed
    assert "orion  login: The login works" in printed


@pytest.mark.parametrize("vendor", ["orion"], indirect=True)
def test_without_a_system_everything_that_is_configured_is_checked(
    configured: Firm, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", "--send-alert"]) == 0
    printed = capsys.readouterr().out
    assert "green  tributary  staging: A file was written" in printed
    assert "green  tributary  alerts: A test alert was sent" in printed
    assert "green  orion  login" in printed
    assert (configured.folder / "alerts.jsonl").exists()


@pytest.mark.parametrize("vendor", ["orion"], indirect=True)
def test_where_tasks_run_their_connections_are_enough(
    configured: Firm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("TRIBUTARY_LOAD_URL", "TRIBUTARY_KEYS", "TRIBUTARY_STAGING_ROOT"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AIRFLOW_CONN_TRIBUTARY_DB", configured.database.url())
    staging = {"root": str(configured.folder / "staging"), "options": None}
    for name, fields in {"keys": {"password": write_keyring()}, "staging": {"extra": staging}}.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_TRIBUTARY_{name.upper()}", json.dumps({"conn_type": "generic", **fields}))
    assert cli.main(["check", "--system", "tributary"]) == 0
    printed = capsys.readouterr().out
    assert "green  tributary  staging: A file was written" in printed
    assert "green  tributary  keys: " in printed


@pytest.mark.parametrize("vendor", ["orion"], indirect=True)
def test_salesforce_is_checked_with_the_settings_of_its_connection(
    configured: Firm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    consumer = {"client_id": "tributary", "client_secret": "only-for-tests", "username": "load@tributary.example"}
    configured.sandbox.http.post("/salesforce/_admin/consumers", json=consumer).raise_for_status()
    extra = {"grant": "client_credentials", "firm": "sample", "key_fields": {"Contact": "Our_Key__c"}}
    fields = {"host": configured.sandbox.org_url, "login": "tributary", "password": "only-for-tests", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE", json.dumps(fields))
    assert cli.main(["check", "--system", "salesforce"]) == 1
    red = [line for line in capsys.readouterr().out.splitlines() if line.startswith("red")]
    assert [line.partition(": ")[0] for line in red] == ["red    salesforce  Contact.Our_Key__c"]
