"""A firm that lives in the present, and an Airflow that knows it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.conftest import Firm
from tests.dags.airflow_home import connections, environment, prepare


@pytest.fixture
def today(start_firm: Callable[..., Firm]) -> Firm:
    """A firm whose sandbox lives in the present, as Airflow does."""
    return start_firm(now=datetime.now(UTC), households=20)


@pytest.fixture
def airflow(tmp_path: Path, today: Firm, airflow_database: Path) -> dict[str, str]:
    environ = environment(tmp_path / "airflow", connections(today, tmp_path / "alerts.jsonl"))
    prepare(environ, airflow_database)
    httpx.post(
        f"{today.sandbox.url}/salesforce/_admin/consumers",
        json={"client_id": "tributary", "client_secret": "sandbox-only", "username": "load@tributary.example"},
    ).raise_for_status()
    return environ
