"""Keys that a sandbox generates for itself, readable only by their owner."""

import os
import tempfile
from pathlib import Path


def write_once(path: Path, pem: bytes) -> None:
    """Write a key to `path` unless the file exists. If several processes write at once, the first key stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".key-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        Path(temporary).unlink()
