"""Airflow's command line beside the demo: it runs in the demo's environment, or not at all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import airflow, cli, demo
from local.processes import Processes


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A demo with one process, started as the demo starts it."""
    monkeypatch.setattr(demo, "STATE", tmp_path)
    settings = airflow.environment(tmp_path / "airflow", "postgresql://u:p@127.0.0.1:1/airflow", 4711, demo.ROOT)
    processes = Processes(tmp_path / "processes")
    processes.start("dag-processor", [sys.executable, "-c", "import time; time.sleep(600)"], environment=settings)
    yield tmp_path / "airflow"
    processes.stop_all()


@pytest.mark.airflow
def test_airflow_is_called_in_the_demos_environment(running: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["airflow", "config", "get-value", "api", "base_url"]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "http://127.0.0.1:4711"
    assert (running / "airflow.cfg").exists()


def test_without_the_demo_the_error_states_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "STATE", tmp_path)
    assert cli.main(["airflow", "version"]) == 1
    assert "make demo" in capsys.readouterr().err
