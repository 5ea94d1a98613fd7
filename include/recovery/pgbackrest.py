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
    """Run a program; return its standard output.

    The program gets the settings of pgBackRest (`PGBACKREST_...`) and `PATH`, but no other environment variable of this process.

    Raises:
        TargetUnavailable: The program failed. The error contains the end of its output.
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
        run: Runs the program.
    """

    command: tuple[str, ...] = ("pgbackrest", "--stanza=tributary")
    run: Run = run_program

    def list_backups(self) -> str:
        """Return the backups with their annotations, as JSON."""
        return self.run(*self.command, "info", "--output=json", "--log-level-console=off")

    def restore(self, cluster: Path, to: str | None = None) -> None:
        """Restore the newest backup from before `to`, or without `to` the newest of all, into an empty folder.

        A server that is started on the folder replays the log, then accepts writes. It archives nothing, so it does not disturb the
        archive of the server that made the backup.

        Args:
            cluster: The folder, which belongs to the user of the server.
            to: The time to restore to, with its time zone; None for the last transaction in the archive.
        """
        target = ("--type=time", f"--target={to}", "--target-action=promote") if to else ()
        self.run(*self.command, "restore", f"--pg1-path={cluster}", "--archive-mode=off", *target)
