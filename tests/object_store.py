"""SeaweedFS for tests, with the command of docker-compose.yaml, on free ports."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from local.processes import find_free_port

SERVICE = yaml.safe_load((Path(__file__).parents[1] / "docker-compose.yaml").read_text())["services"]["object-store"]


@contextlib.contextmanager
def start_seaweedfs(folder: Path) -> Iterator[dict[str, Any]]:
    """Start the object store in an empty folder; yield s3fs's options. Skip the test if `weed` is not installed."""
    weed = shutil.which("weed")
    if weed is None:
        pytest.skip("weed (SeaweedFS) is not here")
    ports = {
        f"{name}.port{kind}": find_free_port() for name in ("master", "volume", "filer", "s3") for kind in ("", ".grpc")
    }
    # The last of two equal flags wins.
    changes = {"dir": folder, "s3.ip.bind": "127.0.0.1", **ports}
    command = [weed, *SERVICE["command"], *(f"-{name}={value}" for name, value in changes.items())]
    environment = os.environ | {"AWS_ACCESS_KEY_ID": "only", "AWS_SECRET_ACCESS_KEY": "tests"}
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            url = f"http://127.0.0.1:{ports['s3.port']}"
            _wait_for(f"{url}/healthz", process)
            yield {"endpoint_url": url, "key": "only", "secret": "tests", "client_kwargs": {"region_name": "us-east-1"}}
        finally:
            process.kill()
            for port in ports.values():
                for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                    left.unlink()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    last = time.monotonic() + 120
    while time.monotonic() < last and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url).status_code == 200:
                return
        time.sleep(0.2)
    raise AssertionError(f"the object store did not start: {url}")
