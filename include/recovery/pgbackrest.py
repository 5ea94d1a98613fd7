"""Restore backups with pgBackRest."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from include.errors import TargetUnavailable

Run = Callable[..., str]
"""Runs a program with arguments and returns its output; raises TargetUnavailable if the program fails."""

_MOST_OUTPUT = 500


def run_program(*command: str | Path) -> str:
    """Run a program without this process's secrets, except those of pgBackRest; return its standard output.

    Raises:
        TargetUnavailable: The program failed; with the end of its output.
    """
    kept = {name: value for name, value in os.environ.items() if name.startswith("PGBACKREST_")}
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"} | kept
    done = subprocess.run(list(map(str, command)), cwd="/", env=environment, text=True, capture_output=True)
    if done.returncode:
        output = f"{done.stdout}\n{done.stderr}".strip()[-_MOST_OUTPUT:]
        raise TargetUnavailable(f"{Path(command[0]).name} failed: {output}", exit_code=done.returncode)
    return done.stdout


@dataclass(frozen=True, slots=True)
class PgBackRest:
    """The backups of one server.

    Attributes:
        command: The program with its general options.
        run: Runs it.
    """

    command: tuple[str, ...] = ("pgbackrest", "--stanza=tributary")
    run: Run = run_program

    def list_backups(self) -> str:
        """Return the backups with their annotations, as JSON."""
        return self.run(*self.command, "info", "--output=json", "--log-level-console=off")

    def restore(self, cluster: Path, to: str | None = None) -> None:
        """Restore the newest fitting backup into an empty folder. A server that is started on it replays the log and then accepts writes.

        The server archives nothing, so it does not disturb the archive of the server that made the backup.

        Args:
            cluster: The folder, which belongs to the user of the server.
            to: The time to restore to, with its time zone; None for the last transaction in the archive.
        """
        target = ("--type=time", f"--target={to}", "--target-action=promote") if to else ()
        self.run(*self.command, "restore", f"--pg1-path={cluster}", "--archive-mode=off", *target)
