"""A Prometheus that scrapes one of our servers as docs/how-to/monitoring.md says, with the shipped rules."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from local.processes import find_free_port

ROOT = Path(__file__).parents[1]
START_S = 60


@dataclass
class Prometheus:
    """A running Prometheus."""

    url: str

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and the value of each series of an expression."""
        return [(each["metric"], float(each["value"][1])) for each in self._get("query", query=expression)["result"]]

    def read_target(self) -> dict[str, Any]:
        """Wait for the first scrape; return the state of the target, with `health` (up or down) and `lastError`."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            with suppress(requests.ConnectionError, requests.HTTPError):
                targets: list[dict[str, Any]] = self._get("targets")["activeTargets"]
                if targets and targets[0]["health"] != "unknown":
                    return targets[0]
            time.sleep(0.1)
        raise AssertionError("Prometheus did not scrape")

    def _get(self, path: str, **parameters: str) -> Any:
        response = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10)
        response.raise_for_status()
        return response.json()["data"]


@contextmanager
def run_prometheus(folder: Path, address: str, key: str) -> Iterator[Prometheus]:
    """Run Prometheus; skip the test if it is not installed.

    Args:
        folder: Folder for its configuration and data.
        address: Host and port of the server that it scrapes.
        key: API key.
    """
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("Prometheus is not here: apt-get install prometheus")
    (folder / "key").write_text(key)
    job = {
        "job_name": "tributary",
        "metrics_path": "/api/v1/metrics",
        "authorization": {"credentials_file": str(folder / "key")},
        "static_configs": [{"targets": [address]}],
    }
    config = {
        "global": {"scrape_interval": "10s", "scrape_timeout": "10s"},
        "rule_files": [str(ROOT / "docker/prometheus/tributary.rules.yml")],
        "scrape_configs": [job],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    port = find_free_port()
    command = [
        program,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(20)
