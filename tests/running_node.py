"""Node with the packages of a package-lock.json, which the first run installs into `.tributary/clients`."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[1] / ".tributary" / "clients"


def install_packages(source: Path, oldest_node: int) -> Path:
    """Install the packages of a folder's package-lock.json; return where they are. Skip the test if there is no such Node."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip(f"Node {oldest_node} with npm is needed: apt-get install nodejs npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < oldest_node:
        pytest.skip(f"Node {oldest_node} or later is needed; this is {version}")
    lock = (source / "package-lock.json").read_bytes()
    folder = CACHE / hashlib.sha256(lock).hexdigest()[:12]
    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)
        assert installed.returncode == 0, f"npm ci failed in {folder}:\n{installed.stderr[-2000:]}"
        (folder / "installed").touch()
    return folder
