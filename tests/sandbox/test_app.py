import re
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import httpx
import pytest

from sandbox.orion import render


def test_command_prints_its_loopback_address_and_ends_on_sigterm(tmp_path):
    command = [sys.executable, "-m", "sandbox.app", "--households", "2", "--state", str(tmp_path)]
    with subprocess.Popen([*command, "--clock-rate", "50"], stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline()
            url = re.fullmatch(r"sandbox ready (http://127\.0\.0\.1:\d+)\n", line)[1]
            assert httpx.get(f"{url}/_sandbox/clock").json()["rate"] == 50
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(15) in (0, -signal.SIGTERM)


def test_org_is_at_a_root_of_its_own(sandbox):
    host = sandbox.http.get("/_sandbox/connections").json()["salesforce"]["host"]
    app = {"client_id": "app", "client_secret": "s"}
    sandbox.http.post("/salesforce/_admin/consumers", json=app | {"username": "ada@sample-wealth.example"})
    login = httpx.post(f"{host}/services/oauth2/token", data=app | {"grant_type": "client_credentials"}).json()
    assert urlsplit(login["instance_url"]).path == ""
    assert login["instance_url"] == host == sandbox.org_url != sandbox.url
    token = {"Authorization": f"Bearer {login['access_token']}"}
    assert httpx.get(f"{host}/services/data/v66.0/limits", headers=token).status_code == 200
    assert httpx.get(f"{sandbox.url}/salesforce/services/data/v66.0/limits", headers=token).status_code == 404


def test_calls_and_faults_of_the_org_are_named_by_the_sandbox(sandbox):
    sandbox.http.post("/_sandbox/faults", json={"route": "/salesforce/services/*", "kind": "server_error"})
    assert sandbox.org.get("/services/data").status_code == 503
    assert "/salesforce/services/data" in sandbox.http.get("/_sandbox/calls").json()["routes"]


def test_state_of_another_firm_is_refused(start_sandbox):
    start_sandbox()
    with pytest.raises(ValueError, match="another firm"):
        start_sandbox(seed=8)


@pytest.fixture
def rendered(tmp_path):
    folder = tmp_path / "pages"
    options = ["--positions", "250", "--page", "100", "--overlap", "1", "--as-of", "2026-11-20"]
    render.main([*options, "--out", str(folder)])
    return folder


def test_rendered_pages_overlap_and_hold_every_position(rendered):
    import json

    pages = [json.loads((rendered / f"{skip}.json").read_text()) for skip in (0, 99, 198)]
    assert [len(page) for page in pages] == [100, 100, 52]
    assert pages[0][-1] == pages[1][0]
    assert pages[1][-1] == pages[2][0]
    ids = [row["id"] for row in pages[0] + pages[1][1:] + pages[2][1:]]
    assert ids == sorted(set(ids))
    assert len(ids) == 250


def test_server_sends_rendered_pages_unchanged(start_sandbox, rendered):
    sandbox = start_sandbox()
    params = {"includeCostBasis": "true", "asOfDate": "2026-11-20", "_top": 100, "_skip": 99, "_orderby": "Id"}
    own = sandbox.get("Portfolio/Assets", **params).content
    sandbox.admin("orion/rendered", folder=str(rendered))
    assert sandbox.get("Portfolio/Assets", **params).content == (rendered / "99.json").read_bytes() != own
    assert len(sandbox.rows("Portfolio/Assets", **params | {"_skip": 98})) == 100
    assert {row["costBasis"] for row in sandbox.rows("Portfolio/Assets", **params | {"includeCostBasis": "false"})} == {
        None
    }


def test_rendered_row_is_the_row_that_the_list_returns(start_sandbox, rendered, tmp_path):
    import json

    row = json.loads((rendered / "0.json").read_text())[0]
    listed = start_sandbox().rows("Portfolio/Assets", _top=1)[0]
    assert list(row) == list(listed)
