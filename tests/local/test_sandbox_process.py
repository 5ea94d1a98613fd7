"""The demo's sandbox, as a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from include.errors import ConfigurationError
from local.processes import Processes, find_free_port
from local.sandbox_process import Served, Started, start_sandbox

Start = Callable[..., tuple[str, Started]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the sandbox on one state; a second start is a restart."""
    processes = Processes(tmp_path / "processes")

    def start(**options: bool) -> tuple[str, Started]:
        processes.stop_all()
        url = f"http://127.0.0.1:{find_free_port()}"
        served = Served(households=4, **options)
        return url, start_sandbox(processes, tmp_path / "state", url, find_free_port(), served)

    try:
        yield start
    finally:
        processes.stop_all()


def count_accounts(url: str) -> int:
    return len(requests.get(f"{url}/salesforce/_admin/records/Account", timeout=10).text.splitlines())


def test_the_org_is_filled_on_request_and_stays_full(start: Start) -> None:
    url, started = start(is_org_full=True)
    assert started.is_org_full
    count = count_accounts(url)
    assert count > 10
    url, started = start()
    assert started.is_org_full
    assert count_accounts(url) == count
    assert {"orion", "salesforce"} <= started.connections.keys()


def test_an_empty_org_stays_empty_and_one_that_a_sync_has_filled_is_rejected(start: Start) -> None:
    url, started = start()
    assert not started.is_org_full
    assert count_accounts(url) == 0
    form = {"grant_type": "client_credentials", "client_id": "tributary", "client_secret": "sandbox-only"}
    org = started.connections["salesforce"]["host"]
    token = requests.post(f"{org}/services/oauth2/token", data=form, timeout=10).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    account = f"{org}/services/data/v66.0/sobjects/Account"
    requests.post(account, json={"Name": "Sample"}, headers=headers, timeout=10).raise_for_status()
    with pytest.raises(ConfigurationError, match="`make clean` deletes them"):
        start(is_org_full=True)
