"""Check of the sandbox's responses against the vendors' own API documents, by schemathesis (a development tool).

    python -m sandbox.conformance SPECS

runs these steps for each of SURFACES: read the vendor's API document from the folder SPECS, reduce it to the routes that the sandbox
serves, start a sandbox on a free port, and run schemathesis. The exit code is 1 if a response violates a document, or if a route
never returned a success, because then its responses were not checked.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

from sandbox.adobe_sign import conformance as adobe_sign
from sandbox.docusign import conformance as docusign
from sandbox.server.calls import name_route
from sandbox.server.surface import Caller, Surface

CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance,response_headers_conformance"
"""The checks that schemathesis runs.

Omitted are `status_code_conformance`, because the documents list only 200, 201 and 400, and the checks that invalid data is
rejected, because every parameter is text.
"""
_LIMITLESS = "1000000"
SURFACES = (adobe_sign.SURFACE, docusign.SURFACE)


@contextmanager
def _run_sandbox(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "sandbox.app", "--households", "10", "--pace", _LIMITLESS]
    with subprocess.Popen([*command, "--state", str(folder)], stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            yield line.rpartition(" ")[2].strip()
        finally:
            server.terminate()
            server.wait(30)


def check(surface: Surface, specs: Path, examples: int) -> bool:
    """Run schemathesis on one surface in a separate sandbox. Return whether it passed and every route returned a success."""
    source = next(iter(sorted(specs.glob(surface.document))))
    with tempfile.TemporaryDirectory() as folder, _run_sandbox(Path(folder) / "state") as url:
        caller, path = surface.log_in(url), Path(folder) / "document.json"
        path.write_text(json.dumps(surface.cut(json.loads(source.read_text()), caller)))
        command = [sys.executable, "-m", "schemathesis.cli", "run", str(path), "--url", url + surface.root]
        command += ["--checks", CHECKS, "--max-examples", str(examples), "--seed", "7", "--continue-on-failure"]
        for name, value in caller.headers.items():
            command += ["--header", f"{name}: {value}"]
        is_conformant = subprocess.run(command, cwd=folder, check=False).returncode == 0
        unanswered = sorted(_find_unproved(surface, caller, url))
    for route in unanswered:
        sys.stderr.write(f"never returned a success: {route}\n")
    return is_conformant and not unanswered


def _find_unproved(surface: Surface, caller: Caller, url: str) -> Iterator[str]:
    routes = requests.get(f"{url}/_sandbox/calls", timeout=10).json()["routes"]
    answered = {route for route, counts in routes.items() if any(status[0] == "2" for status in counts["status"])}
    for path in surface.routes:
        called = surface.root + path
        names = {
            name_route(_fill(called, caller.parameters, place))
            for place in range(max(map(len, caller.parameters.values())))
        }
        if not names & answered:
            yield called


def _fill(path: str, parameters: Mapping[str, Sequence[str]], place: int) -> str:
    for name, values in parameters.items():
        path = path.replace(f"{{{name}}}", values[place % len(values)])
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Check every surface. Return 0 if all passed, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="sandbox.conformance", description=__doc__.split("\n")[0])
    parser.add_argument("specs", type=Path, help="folder of the vendors' documents")
    parser.add_argument("--examples", type=int, default=25, help="maximum calls of each kind per route")
    args = parser.parse_args(argv)
    results = [check(surface, args.specs, args.examples) for surface in SURFACES]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
