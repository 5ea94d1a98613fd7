"""Commands that the demo rejects before anything starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from include.errors import ConfigurationError
from local import cli, demo
from local.processes import Processes
from tests.running_sandbox import run_sandbox

ROOT = Path(__file__).parents[2]


def test_data_that_can_not_be_served_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "STATE", tmp_path / "state")
    (tmp_path / "data" / "orion").mkdir(parents=True)
    (tmp_path / "data" / "orion" / "clients.jsonl").write_text('{"id": 1}\n{"id": null}\n')
    assert cli.main(["demo", "--data", str(tmp_path / "data")]) == 1
    assert "orion/clients.jsonl, line 2, id: nothing; expected a value" in capsys.readouterr().out
    assert not (tmp_path / "state").exists()


def test_data_with_faults_that_can_be_served_is_loaded_only_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "STATE", tmp_path / "state")
    data = tmp_path / "data"
    shutil.copytree(ROOT / "examples" / "own_data", data)
    accounts = data / "emoney" / "accounts.csv"
    accounts.write_text(accounts.read_text().replace("true", "yes").replace("false", "no"))
    assert cli.main(["demo", "--data", str(data)]) == 1
    assert "or load them as they are with FAULTS=load" in capsys.readouterr().err
    checked = cli._check_data(data, print, must_be_clean=False)
    assert (len(checked.faults), checked.faults.unserved) == (4, 0)
    (data / "emoney" / "plans.csv").write_text("clientId,planId\n,1\n")
    with pytest.raises(ConfigurationError, match="DATA has faults: correct those listed above;"):
        cli._check_data(data, print, must_be_clean=False)


def test_a_full_org_of_ones_own_data_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "STATE", tmp_path / "state")
    (tmp_path / "data").mkdir()
    assert cli.main(["demo", "--data", str(tmp_path / "data"), "--org", "full"]) == 1
    assert "leave out DATA or ORG" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


def test_demo_of_another_firm_fails_with_the_next_step_before_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "STATE", tmp_path)
    with run_sandbox(tmp_path / "sandbox", households=10):
        pass
    assert cli.main(["demo", "--households", "50"]) == 1
    assert "The firm here has 10 households: `make clean`" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["sandbox"]


def test_data_of_a_version_with_other_keys_fails_with_the_next_step_before_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "STATE", tmp_path)
    (tmp_path / "settings.json").write_text('{"hash_key": "an earlier key"}')
    assert cli.main(["demo"]) == 1
    assert "whose keys no longer work: run `make clean`" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_other_data_with_a_running_sandbox_fails_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state, data = tmp_path / "state", tmp_path / "data"
    (data / "orion").mkdir(parents=True)
    monkeypatch.setattr(demo, "STATE", state)
    processes = Processes(state / "processes")
    processes.start("sandbox", ["sleep", "60"])
    try:
        assert cli.main(["demo", "--data", str(data)]) == 1
    finally:
        processes.stop_all()
    assert "serves a generated firm: run `make stop`" in capsys.readouterr().err
    assert [path.name for path in state.iterdir()] == ["processes"]
