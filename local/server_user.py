"""The user that a local PostgreSQL server runs as, and the folders that it can reach.

PostgreSQL refuses to run as root, so a server that root starts runs as `nobody`. If `nobody` can't reach a folder of
root, the files are stored in /var/lib/tributary instead. The permissions of existing folders are never widened.
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

ROOT_HOME = Path("/var/lib/tributary")


def make_root_home() -> None:
    """Create /var/lib/tributary unless it exists, readable by all users regardless of the umask."""
    if not ROOT_HOME.exists():
        ROOT_HOME.mkdir()
        ROOT_HOME.chmod(0o755)


def is_root() -> bool:
    """Return whether this process runs as root."""
    return os.geteuid() == 0


def is_reachable(path: Path) -> bool:
    """Return whether the server's user can traverse `path` and all its parents."""
    return not is_root() or all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def find_server_ids() -> tuple[int, int]:
    """Return the ids of the user and group that the server runs as."""
    if not is_root():
        return os.geteuid(), os.getegid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def make_own_folder(path: Path) -> None:
    """Create a folder that only the server's user can access, unless it exists."""
    path.mkdir(mode=0o700, exist_ok=True)
    if is_root():
        os.chown(path, *find_server_ids())
