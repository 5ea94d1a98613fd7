"""Keys that a sandbox makes for itself, kept for the owner's eyes alone."""

import os
import tempfile
from pathlib import Path


def keep_first(path: Path, pem: bytes) -> None:
    """Write a key; whoever comes second keeps the first one's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, whole = tempfile.mkstemp(prefix=".key-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        os.link(whole, path)
    except FileExistsError:
        pass
    finally:
        Path(whole).unlink()
