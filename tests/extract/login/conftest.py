"""Vendors that a login calls, and the context of a login."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import requests
import sqlalchemy as sa

from include.connection import Connection
from include.control.grants import Grants
from include.extract.login import LoginContext
from tests.extract.login.ways import EXTRA, OWN, Serve
from tests.extract.vendor_server import listen
from tests.firm_keys import KEYRING
from tests.running_sandbox import Sandbox, run_sandbox


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as running:
        yield lambda answer: running.enter_context(listen(answer))


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox"), households=3) as running:
        yield running


@pytest.fixture
def new_context(engine: sa.Engine, request: pytest.FixtureRequest) -> Callable[..., LoginContext]:
    def make(url: str, lacking: str = "", *, way: str = "", **extra: str) -> LoginContext:
        fields = EXTRA | {"token_url": f"{url}/oauth/token"} | OWN.get(way, {}) | extra
        connection = Connection(url, "user", "passw0rd", {name: fields[name] for name in fields if name != lacking})
        grants = Grants(engine, request.node.name, KEYRING.sealer, {"an advisor": "f1rst"})
        return LoginContext(requests.Session(), connection, (5, 5), grants, "an advisor")

    return make
