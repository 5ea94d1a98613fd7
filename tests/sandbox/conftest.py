"""Sandboxes for the tests of the sandbox itself."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running_sandbox import NOW, Sandbox, Start, run_sandbox


@pytest.fixture
def start_sandbox(tmp_path: Path) -> Iterator[Start]:
    """Start a sandbox of the test's own; `state` defaults to one folder, so a second start is a restart."""
    with contextlib.ExitStack() as running:

        def start(state: Path | None = None, **options: Any) -> Sandbox:
            return running.enter_context(
                run_sandbox(state or tmp_path / "state", **{"households": 40, "pace": 1.0} | options)
            )

        yield start


@pytest.fixture(scope="session")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox"), households=40) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Iterator[Sandbox]:
    """A running sandbox that the test must not edit; faults, calls, clock and log-in are fresh."""
    shared_sandbox.http.delete("/_sandbox/faults")
    shared_sandbox.http.delete("/_sandbox/calls")
    shared_sandbox.admin("clock", now=NOW.isoformat(), rate=1)
    shared_sandbox.log_in()
    yield shared_sandbox
    shared_sandbox.http.delete("/_sandbox/faults")
