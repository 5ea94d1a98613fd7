"""Where the firm's folder is, which files it holds, and whether its content has been checked. Imports nothing heavy, for DAG files.

The environment variable `TRIBUTARY_FIRM` names the folder; without it, it is `firm` in the project's folder. A folder that does not exist
changes nothing.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from include.version import VERSION

VARIABLE = "TRIBUTARY_FIRM"
MAPPING, VENDORS, THRESHOLDS, ALERTS = "mapping.yaml", "vendors.yaml", "thresholds.yaml", "alerts.yaml"
DOCUMENTS = (MAPPING, VENDORS, THRESHOLDS, ALERTS)
RULES, TESTS = "rules", "tests"
_DEFAULT = Path(__file__).parents[2] / "firm"


def find_folder() -> Path:
    """Return the path of the firm's folder, whether it exists or not."""
    return Path(os.environ.get(VARIABLE) or _DEFAULT)


def list_others(folder: Path) -> list[str]:
    """Return the names in the folder that nothing reads, such as a misspelled one."""
    known = {*DOCUMENTS, RULES, TESTS}
    names = sorted(path.name for path in folder.glob("*"))
    return [name for name in names if name not in known and not name.startswith((".", "README", "__pycache__"))]


def compute_hash(folder: Path) -> str:
    """Return the SHA-256 of all files that Tributary reads from the folder, with their paths; empty if there are none."""
    names = [name for name in DOCUMENTS if (folder / name).is_file()]
    names += [f"{RULES}/{path.name}" for path in sorted((folder / RULES).glob("*.py"))]
    if not names:
        return ""
    digest = hashlib.sha256()
    for name in names:
        content = (folder / name).read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def require_valid() -> None:
    """Check the firm's folder, with its rules, unless this version has checked the same content before. A temporary file records that.

    Raises:
        InvalidFolder: The folder has mistakes; the message lists all of them.
    """
    folder = find_folder()
    others, digest = list_others(folder), compute_hash(folder)
    mark = (
        Path(os.environ.get("TMPDIR") or tempfile.gettempdir())
        / f"tributary-firm-{os.getuid()}-{VERSION}-{digest}.checked"
    )
    if not others and (not digest or mark.exists()):
        return
    from include.firm.folder import InvalidFolder, read_all

    if faults := read_all(folder)[1]:
        raise InvalidFolder(folder, faults)
    with suppress(OSError):  # without a mark, the next process checks again
        mark.touch(mode=0o600)
