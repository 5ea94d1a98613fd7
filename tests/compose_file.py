"""The services of `docker-compose.yaml`, and the settings of `.env.example`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
EXAMPLE = dict(
    line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")
)
WORKERS = {"pulls": "worker-pulls", "loads": "worker-loads"}
"""The queue of each worker."""
TASKS = ("scheduler", *WORKERS.values())
SIGN_ON = ("api-server", "init")
GATEWAYS = ("gateway", "gateway-2")


def settings(service: str) -> dict[str, str]:
    """Return a service's environment with the defaults of an empty .env."""
    environment = SERVICES[service].get("environment", {})
    return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)) for name, value in environment.items()}


def volumes(service: str) -> dict[str, str]:
    """Return the named volumes and folders of a service, with their places in it."""
    mounts = [each.split(":") for each in SERVICES[service].get("volumes", []) if not each.startswith(("$", "/"))]
    return {name: place for name, place, *_ in mounts}
