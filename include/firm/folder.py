"""The firm's folder: what it contains, and its content once it is read and checked.

The environment variable `TRIBUTARY_FIRM` names the folder; without it, it is `firm` in the project's folder. A folder that does not exist
changes nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from include.crm.firm_changes import ObjectChange
from include.errors import ConfigurationError
from include.firm import mapping
from include.firm.document import Difference, Fault, Faults, Item, Place, read_document

VARIABLE = "TRIBUTARY_FIRM"
DOCUMENTS = (mapping.FILE,)
RULES, TESTS = "rules", "tests"
_DEFAULT = Path(__file__).parents[2] / "firm"
_cache: dict[tuple[Path, str], Firm] = {}


class InvalidFolder(ConfigurationError):
    """The firm's folder has mistakes; the message lists all of them.

    Attributes:
        faults: The mistakes, by file and line.
    """

    def __init__(self, folder: Path, faults: list[Fault]) -> None:
        self.faults = faults
        lines = "".join(f"\n  {fault}" for fault in faults)
        number = "1 mistake" if len(faults) == 1 else f"{len(faults)} mistakes"
        super().__init__(f"{number} in the firm's folder {folder}:{lines}")


@dataclass(frozen=True, slots=True)
class Firm:
    """What the firm changes.

    Attributes:
        folder: The folder.
        hash: SHA-256 of the content; empty if there is no folder.
        changes: Changes of the mapping of Salesforce, by entity.
        differences: Everything that differs from ours, by file and line.
    """

    folder: Path
    hash: str = ""
    changes: Mapping[str, ObjectChange] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()


def find_folder() -> Path:
    """Return the path of the firm's folder, whether it exists or not."""
    return Path(os.environ.get(VARIABLE) or _DEFAULT)


def in_force() -> Firm:
    """Return the content of the firm's folder. Unchanged files are parsed once per process.

    Raises:
        InvalidFolder: The folder has mistakes.
    """
    folder = find_folder()
    digest = compute_hash(folder)
    key = (folder, digest)
    if key not in _cache:
        firm, faults = read(folder, digest)
        if faults:
            raise InvalidFolder(folder, faults)
        _cache[key] = firm
    return _cache[key]


def read(folder: Path, digest: str | None = None) -> tuple[Firm, list[Fault]]:
    """Read a folder, and return its content and all of its mistakes, by file and line.

    Args:
        folder: The folder.
        digest: Its hash, if it is known.
    """
    faults, differences = Faults(), list[Difference]()
    documents = {name: _read(folder, name, faults) for name in DOCUMENTS}
    _refuse_others(folder, faults)
    firm = Firm(
        folder,
        compute_hash(folder) if digest is None else digest,
        changes=mapping.read_mapping(documents[mapping.FILE], faults, differences),
        differences=tuple(sorted(differences, key=lambda each: each.place)),
    )
    return firm, faults.list()


def compute_hash(folder: Path) -> str:
    """Return the SHA-256 of all files that change something, with their paths; empty if there are none."""
    names = [name for name in DOCUMENTS if (folder / name).is_file()]
    names += [f"{RULES}/{path.name}" for path in sorted((folder / RULES).glob("*.py"))]
    if not names:
        return ""
    digest = hashlib.sha256()
    for name in names:
        content = (folder / name).read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _read(folder: Path, name: str, faults: Faults) -> Item:
    path = folder / name
    return read_document(path, name, faults) if path.exists() else Item(Place(name, 1), "nothing")


def _refuse_others(folder: Path, faults: Faults) -> None:
    """Record files that nothing reads: a misspelled name would change nothing without a word."""
    known = {*DOCUMENTS, RULES, TESTS}
    for path in sorted(folder.glob("*")):
        if path.name not in known and not path.name.startswith((".", "README", "__pycache__")):
            faults.add(Place(path.name, 1), "Nothing reads this file", f"The folder holds {', '.join(sorted(known))}.")
