"""Run a demo with two schedulers and two triggerers, and check that nothing happens twice.

python -m tests.chaos.twice MINUTES [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

from include.vendors import VENDORS
from local.airflow_api import ReportLine
from local.demo import STATE, Place, listen
from local.follow import STALLED_SECONDS
from local.processes import find_free_port
from local.sandbox_process import START_SECONDS
from tests.chaos.arena import settle
from tests.chaos.checks import find_unsettled
from tests.chaos.twice.evidence import describe, find_wrong, read
from tests.chaos.twice.pair import CRONS, DEADLINE_S, DOUBLED, HOUSEHOLDS, Pair
from tests.chaos.twice.receiver import Receiver
from tests.chaos.twice.work import Work, wait_until

SYNC = "salesforce_sync"
"""The file of the DAG that sends to Salesforce."""
LAST_ALERT_S = 2 * DEADLINE_S + 20.0
"""Seconds after which the last deadline was missed and its alert has arrived."""


def run(minutes: float, folder: Path, report_line: ReportLine) -> list[str]:
    """Run a pair for this long; return what is wrong. The folder is removed if nothing is wrong, and kept otherwise."""
    receiver = Receiver()
    ports = {name: find_free_port() for name in ("airflow", "sandbox", "org", "postgres")}
    pair = Pair(folder, ports, receiver.port)
    try:
        wrong = _run(pair, receiver, minutes, report_line)
        (pair.remove if not wrong else pair.stop)()
        return wrong
    except BaseException:
        pair.stop()
        raise
    finally:
        receiver.close()


def _run(pair: Pair, receiver: Receiver, minutes: float, report_line: ReportLine) -> list[str]:
    pair.write_dags(CRONS)
    place = pair.start(report_line, households=HOUSEHOLDS)
    pair.start_seconds()
    _wait_read(pair, place)
    listen(place)
    work = Work(pair, place)
    report_line(f"{datetime.now(UTC):%H:%M:%S} Two schedulers and two triggerers load the first day")
    _unpause(place, set(CRONS) - {SYNC})
    wait_until(lambda: _has_loaded(place), STALLED_SECONDS, "all vendors have loaded a day")
    _unpause(
        place, {SYNC}
    )  # not earlier: after a part of the vendors, the rest would be a change that needs an approval
    report_line(f"{datetime.now(UTC):%H:%M:%S} They run for {minutes:g} minutes")
    work.run(60 * minutes)
    pair.write_dags({})
    wait_until(lambda: not _find_scheduled(place), 180, "DAGs have their schedule removed")
    wait_until(lambda: work.approve() and not find_unsettled(pair, place.api), STALLED_SECONDS, "all work is done")
    settle(pair, place)
    time.sleep(LAST_ALERT_S)
    report_line(f"{datetime.now(UTC):%H:%M:%S} Settled")
    (pair.folder / "alerts.json").write_text(json.dumps(receiver.alerts, indent=1))
    evidence = read(pair, receiver, work)
    for line in describe(pair, receiver, evidence):
        report_line(line)
    restarts = {name: pair.processes.restarts(name) for name in pair.processes.names()}
    return find_wrong(evidence) + [f"{name} was restarted {n} times" for name, n in restarts.items() if n]


def _wait_read(pair: Pair, place: Place) -> None:
    """Wait until Airflow has read all DAGs."""
    known = {path.stem for path in pair.dags.glob("*.py")}
    wait_until(
        lambda: known <= {Path(dag["fileloc"]).stem for dag in _list_dags(place)}, START_SECONDS, "DAGs are read"
    )


def _unpause(place: Place, files: Collection[str]) -> None:
    for dag in _list_dags(place):
        if Path(dag["fileloc"]).stem in files:
            place.api.unpause(dag["dag_id"])


def _has_loaded(place: Place) -> bool:
    return all(any(run["state"] == "success" for run in place.api.runs(vendor.name)) for vendor in VENDORS)


def _find_scheduled(place: Place) -> list[str]:
    """Return the DAGs that will run by schedule within a day."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    times = {dag["dag_id"]: dag["next_dagrun_run_after"] for dag in _list_dags(place) if not dag["is_paused"]}
    return [dag_id for dag_id, run_after in times.items() if run_after and run_after < tomorrow]


def _list_dags(place: Place) -> list[dict[str, str]]:
    return list(place.api._pages("dags", "dags"))


def main() -> int:
    """Run, print the figures and what is wrong; return exit code 1 if anything is."""
    parser = argparse.ArgumentParser(prog="tests.chaos.twice", description=__doc__.splitlines()[0])
    parser.add_argument("minutes", type=float, help="how long to work; start and end take some minutes more")
    parser.add_argument("--folder", type=Path, default=STATE / "twice", help="where a demo is kept that failed")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    folder = arguments.folder.absolute() / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"

    def print_line(line: str) -> None:
        print(line, flush=True)

    try:
        wrong = run(arguments.minutes, folder, print_line)
    except KeyboardInterrupt:
        return 130
    for each in wrong:
        print_line(f"WRONG {each}")
    print_line(f"Kept: {folder}" if wrong else f"passed with {', '.join(f'two {name}s' for name in DOUBLED)}")
    return 1 if wrong else 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
