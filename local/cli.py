"""The commands behind the Makefile, for one machine: demo, stop, a new vendor, replay, sandbox and benchmarks.

python -m local.cli demo [--data FOLDER [--with-faults]] [--households N] [--org full] [--shape plain]
python -m local.cli stop
python -m local.cli vendor NAME
python -m local.cli airflow ...
python -m local.cli replay --vendor NAME --table NAME [--date 2026-11-20] [--dry]
python -m local.cli sandbox [--port N] ...
python -m local.cli bench [--positions N ...]
python -m local.cli bench-peers [--positions N] [--rounds N]
python -m local.cli bench-crm [--positions N]
python -m local.cli bench-rules [--positions N]
python -m local.cli bench-identity [--clients N] [--records N] [--days N]
python -m local.cli bench-gateway [--seconds N] [--storm N]
python -m local.cli bench-operations
python -m local.cli bench-adoption [--households N]
python -m local.cli bench-workers [--households N] [--slots N] [--seconds N ...]
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from include.crm.settings import SHAPES
from include.errors import ConfigurationError, TributaryError

if TYPE_CHECKING:
    from local.own_data import Checked

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; on a `TributaryError`, print one line to stderr and return 1."""
    parser = argparse.ArgumentParser(prog="tributary", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    _add_demo(commands.add_parser("demo", help="start everything here, run a day, show the results"))
    _add_replay(commands.add_parser("replay", help="replay the dead letters of a table and day"))
    _add_benchmarks(commands)
    commands.add_parser("stop", help="stop all processes that demo started")
    vendor = commands.add_parser("vendor", help="write a new vendor from the template")
    vendor.add_argument("name", help="its short name: DAG, connection, folders and files")
    commands.add_parser("airflow", help="run Airflow's own command line in the demo's environment", add_help=False)
    commands.add_parser("sandbox", help="serve the sandbox vendors and Salesforce", add_help=False)
    arguments, rest = parser.parse_known_args(argv)
    if rest and arguments.command not in ("sandbox", "airflow"):
        parser.error(f"unknown arguments: {' '.join(rest)}")
    try:
        return COMMANDS[arguments.command](arguments, rest)
    except TributaryError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _add_demo(demo: argparse.ArgumentParser) -> None:
    demo.add_argument(
        "--data", type=Path, help="folder of <vendor>/<table>.jsonl or .csv to serve instead of synthetic data"
    )
    demo.add_argument(
        "--with-faults", action="store_true", help="serve data with faults, as dead letters or a day that is refused"
    )
    demo.add_argument("--households", type=int, help="number of households to generate (200)")
    demo.add_argument(
        "--org", choices=["full"], help="full: a Salesforce org with years of records; default: an empty one"
    )
    demo.add_argument("--shape", choices=SHAPES, help="what the Salesforce org is; default: the managed package")


def _add_replay(replay: argparse.ArgumentParser) -> None:
    replay.add_argument("--vendor", required=True)
    replay.add_argument("--table", required=True)
    replay.add_argument("--date", help="business date of the dead letters; default: the latest closed trading day")
    replay.add_argument("--dry", action="store_true", help="pull and check, but write nothing")


def _add_benchmarks(commands: Commands) -> None:
    bench = commands.add_parser("bench", help="measure a day of positions, compared with a plain COPY")
    bench.add_argument("--positions", type=int, nargs="+", default=[1_000_000, 3_000_000])
    peers = commands.add_parser(
        "bench-peers", help="measure a day of positions beside dlt, from the same pages into the same database"
    )
    peers.add_argument("--positions", type=int, default=1_000_000)
    peers.add_argument("--rounds", type=int, default=3)
    crm = commands.add_parser(
        "bench-crm", help="measure changed holdings into Salesforce, compared with simple-salesforce and polars"
    )
    crm.add_argument("--positions", type=int, default=500_000)
    rules = commands.add_parser("bench-rules", help="measure the business rules over a day of positions")
    rules.add_argument("--positions", type=int, default=1_000_000)
    identity = commands.add_parser(
        "bench-identity", help="measure identity resolution: quality on labeled data, and speed"
    )
    identity.add_argument("--clients", type=int, default=50_000)
    identity.add_argument("--records", type=int, default=1_000_000)
    identity.add_argument("--days", type=int, default=30)
    gateway = commands.add_parser("bench-gateway", help="measure webhooks into the inbox: a steady rate, and a storm")
    gateway.add_argument("--seconds", type=int, default=20)
    gateway.add_argument("--storm", type=int, default=1000)
    adoption = commands.add_parser(
        "bench-adoption", help="measure the adoption of a full org: matches, time and memory"
    )
    adoption.add_argument("--households", type=int, default=2_000)
    workers = commands.add_parser(
        "bench-workers", help="measure the pulls of all vendors on one Celery worker and on four"
    )
    workers.add_argument("--households", type=int, default=12)
    workers.add_argument("--slots", type=int, default=1, help="slots of each worker")
    workers.add_argument(
        "--seconds", type=float, nargs="+", default=[0.4, 2], help="how long a vendor takes for a call"
    )
    commands.add_parser("bench-operations", help="measure how long the Operations pages read a year of 50 vendors")


def _demo(arguments: argparse.Namespace, _: list[str]) -> int:
    from include.vendors import VENDORS
    from local import day, demo, summary

    began = datetime.now(UTC)

    def report_line(line: str) -> None:
        print(line, flush=True)

    if arguments.data and arguments.org:
        raise ConfigurationError("ORG=full has the clients of the generated firm: leave out DATA or ORG")
    if arguments.org and arguments.shape not in (None, "managed_package"):
        raise ConfigurationError("ORG=full has records of the managed package: leave out ORG or SHAPE")
    data = _check_data(arguments.data, report_line, must_be_clean=not arguments.with_faults) if arguments.data else None
    for number in (signal.SIGTERM, signal.SIGHUP):  # exit like Ctrl-C, so that cleanup runs
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    place = demo.Demo().start(
        report_line, data, arguments.households, is_org_full=arguments.org == "full", shape=arguments.shape
    )
    report_line(f"Up after {(datetime.now(UTC) - began).total_seconds():.0f} s.")
    demo.listen(place)
    report_line(f"Running {', '.join(vendor.title for vendor in VENDORS)} ...")
    outcomes = day.run_day(place, report_line)
    steps = []
    if data is not None and {demo.SIGNING, demo.PORTFOLIO} & data.counts.keys():
        report_line("No envelope is sent: only generated households can sign one in the sandbox.")
    elif place.is_org_full:
        report_line("No envelope is sent: its household may wait for the adoption of the org.")
    elif day.SYNC in outcomes and outcomes[day.SYNC].state == "success":
        report_line("Sending and signing an envelope ...")
        steps = demo.sign_an_envelope(place, report_line)
    summary.show(place, outcomes, began, steps)
    if unseen := [step.status for step in steps if step.salesforce_s is None]:
        report_line(
            f"Salesforce did not show the envelope's status in time: {', '.join(unseen)}. Look at the runs of drain_inbox."
        )
    is_whole = not unseen and {outcome.state for outcome in outcomes.values()} == {"success"}
    return 0 if is_whole else 1


def _check_data(folder: Path, report_line: Callable[[str], None], *, must_be_clean: bool) -> Checked:
    """Check the folder of own data, and report what is in it and every fault.

    Raises:
        ConfigurationError: There is no such folder, or it has faults: any if `must_be_clean`, otherwise those of lines that can't be served.
    """
    from local import demo
    from local.own_data import check_folder

    if not folder.is_dir():
        raise ConfigurationError("No such folder: DATA must be a folder of <vendor>/<table>.jsonl or .csv", data=folder)
    checked = check_folder(folder, demo.STATE / "own_data")
    for line in (*checked.describe(), *checked.faults.list()):
        report_line(line)
    if checked.faults.unserved or (must_be_clean and checked.faults):
        advice = "" if checked.faults.unserved else ", or load them as they are with FAULTS=load"
        raise ConfigurationError(
            f"DATA has faults: correct those listed above{advice}; docs/reference/own_data_columns.md has all columns",
            faults=len(checked.faults),
        )
    return checked


def _stop(_: argparse.Namespace, __: list[str]) -> int:
    from local import demo

    ended = demo.Demo().stop()
    print("Ended: " + ", ".join(ended) if ended else "Nothing was running.")
    return 0


def _vendor(arguments: argparse.Namespace, _: list[str]) -> int:
    from local.new_vendor import LISTS, list_questions, write_vendor

    written = write_vendor(arguments.name)
    print("Wrote", *written, sep="\n  ")
    print("Added a line to", *LISTS, sep="\n  ")
    print("Next: answer each comment CHANGE:, then continue with step 2 of docs/how-to/adding_a_vendor.md", end="")
    print("", *list_questions(written), sep="\n  ")
    return 0


def _replay(arguments: argparse.Namespace, _: list[str]) -> int:
    from local import day, demo

    table = f"{arguments.vendor}.{arguments.table}"
    outcome = day.replay(demo.Demo().reach(), table, arguments.date, is_dry=arguments.dry)
    print(
        f"{table}, {arguments.date or 'latest closed trading day'}{': dry run, nothing was written' if arguments.dry else ''}"
    )
    headings = {
        "selected": "dead letters",
        "keyless": "without a key",
        "found": "rows found",
        "landed": "landed",
        "still_dead": "still dead",
    }
    print("  ".join(headings.values()))
    print("  ".join(f"{outcome[name]:>{len(heading)},}" for name, heading in headings.items()))
    return 0


def _airflow(_: argparse.Namespace, rest: list[str]) -> int:
    from local import demo

    return demo.Demo().call_airflow(rest)


def _bench(arguments: argparse.Namespace, _: list[str]) -> int:
    from local.bench.day import bench

    bench(arguments.positions)
    return 0


def _bench_peers(arguments: argparse.Namespace, _: list[str]) -> int:
    from local.bench.peers import bench_peers

    bench_peers(arguments.positions, arguments.rounds)
    return 0


def _bench_crm(arguments: argparse.Namespace, _: list[str]) -> int:
    from local.bench.crm import bench_crm

    bench_crm(arguments.positions)
    return 0


def _bench_rules(arguments: argparse.Namespace, _: list[str]) -> int:
    from local.bench.rules import bench_rules

    bench_rules(arguments.positions)
    return 0


def _bench_identity(arguments: argparse.Namespace, _: list[str]) -> int:
    from local.bench.identity import bench_identity
    from local.bench.identity_warehouse import bench_days, bench_identity_runs
    from local.bench.unseen import bench_unseen

    bench_identity(arguments.clients, arguments.records)
    bench_days(arguments.days)
    bench_identity_runs(arguments.records)
    bench_unseen((3_000, arguments.clients // 5, arguments.clients))
    return 0


def _bench_adoption(arguments: argparse.Namespace, _: list[str]) -> int:
    from local.bench.adoption import bench_adoption

    bench_adoption(arguments.households)
    return 0


def _bench_operations(_: argparse.Namespace, __: list[str]) -> int:
    from local.bench.operations import bench_operations

    bench_operations()
    return 0


def _bench_gateway(arguments: argparse.Namespace, _: list[str]) -> int:
    from local.bench.gateway import bench_gateway

    bench_gateway(arguments.seconds, arguments.storm)
    return 0


def _bench_workers(arguments: argparse.Namespace, _: list[str]) -> int:
    from local.bench.workers import bench_workers

    bench_workers(arguments.households, arguments.slots, arguments.seconds)
    return 0


def _sandbox(_: argparse.Namespace, rest: list[str]) -> int:
    from sandbox import app as server

    server.main(rest)
    return 0


COMMANDS = {
    "demo": _demo,
    "stop": _stop,
    "vendor": _vendor,
    "replay": _replay,
    "airflow": _airflow,
    "sandbox": _sandbox,
    "bench": _bench,
    "bench-peers": _bench_peers,
    "bench-crm": _bench_crm,
    "bench-adoption": _bench_adoption,
    "bench-rules": _bench_rules,
    "bench-identity": _bench_identity,
    "bench-gateway": _bench_gateway,
    "bench-operations": _bench_operations,
    "bench-workers": _bench_workers,
}

if __name__ == "__main__":
    sys.exit(main())
