"""The packages of the production image, in a virtual environment of their own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def install_packages() -> Path:
    """Install the image's packages, unless they are installed; return the Python of their virtual environment."""
    files = [ROOT / name for name in ("requirements.txt", "requirements-production.txt", "constraints.txt")]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    folder = ROOT / ".tributary" / "production" / digest
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        uv = [Path(sys.executable).with_name("uv")]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        needed = [arg for file in files[:2] for arg in ("-r", file)]
        install = [*uv, "pip", "install", "--quiet", "--python", python, *needed, "-c", files[2]]
        subprocess.run(install, check=True, timeout=500)
        (folder / "installed").touch()
    return python
