"""The words behind the Makefile: demo, stop, sandbox, bench, and what operators type.

python -m include.cli demo [--data FOLDER] [--households N]
python -m include.cli stop
python -m include.cli sandbox [--port N] ...
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from include.errors import TributaryError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; an error of ours is one line, and exit code 1."""
    parser = argparse.ArgumentParser(prog="tributary", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="start everything here, run a day, show what became of it")
    demo.add_argument("--data", type=Path, help="folder of <vendor>/<table>.jsonl to serve instead of invented data")
    demo.add_argument("--households", type=int, default=200, help="how many households to invent")
    bench = commands.add_parser("bench", help="measure a day of positions, beside a plain COPY")
    bench.add_argument("--positions", type=int, nargs="+", default=[1_000_000, 3_000_000])
    commands.add_parser("stop", help="end what demo started")
    commands.add_parser("sandbox", help="serve the sandbox vendors and Salesforce", add_help=False)
    arguments, rest = parser.parse_known_args(argv)
    if rest and arguments.command != "sandbox":
        parser.error(f"unknown: {' '.join(rest)}")
    try:
        return COMMANDS[arguments.command](arguments, rest)
    except TributaryError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _demo(arguments: argparse.Namespace, _: list[str]) -> int:
    from include.local import demo, summary

    started = time.monotonic()

    def say(line: str) -> None:
        print(line, flush=True)

    if arguments.data and not arguments.data.is_dir():
        say(f"There is no folder {arguments.data}: DATA must be a folder of <vendor>/<table>.jsonl files.")
        return 1
    place = demo.start(say, arguments.data, arguments.households)
    say(f"Up after {time.monotonic() - started:.0f} s. Running the Orion day ...")
    place.api.wait_dag("salesforce")
    place.api.unpause("salesforce")
    before = place.api.runs("salesforce")
    ended = {"orion": demo.run(place, "orion", say, 150)}
    if ended["orion"] == "success":
        ended["salesforce"] = demo.follow_next(place, "salesforce", before, say, 90)
    summary.show(place, ended, time.monotonic() - started)
    return 0 if set(ended.values()) == {"success"} else 1


def _stop(_: argparse.Namespace, __: list[str]) -> int:
    from include.local import demo

    ended = demo.stop()
    print("Ended: " + ", ".join(ended) if ended else "Nothing was running.")
    return 0


def _bench(arguments: argparse.Namespace, _: list[str]) -> int:
    from include.local.bench import bench

    bench(arguments.positions)
    return 0


def _sandbox(_: argparse.Namespace, rest: list[str]) -> int:
    from include.sandbox import server

    server.main(rest)
    return 0


COMMANDS = {"demo": _demo, "stop": _stop, "sandbox": _sandbox, "bench": _bench}

if __name__ == "__main__":
    sys.exit(main())
