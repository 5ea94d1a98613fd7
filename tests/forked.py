"""Processes that start with Airflow and the heavy libraries imported, because they are forked from a server that has them.

Importing Airflow takes three seconds of CPU, its API server eight, Great Expectations four. A forked process reads all settings from
its own environment, so it is otherwise like a process of its own.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).parents[1]

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.preloaded"])


def start_airflow(environ: Mapping[str, str], code: str, folder: Path) -> BaseProcess:
    """Start a process of an Airflow with these settings, which runs the code; its output is in `stdout` and `stderr` in the folder."""
    process = SERVER.Process(target=_run, args=(dict(environ), code, folder))
    process.start()
    return process


def _run(environ: dict[str, str], code: str, folder: Path) -> None:
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(ROOT)
    sys.path[:0] = environ["PYTHONPATH"].split(os.pathsep)
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
    _initialize_airflow()
    try:
        exec(compile(code, "<test>", "exec"), {"__name__": "__main__"})
    finally:
        atexit._run_exitfuncs()  # multiprocessing ends its processes without them


def _initialize_airflow() -> None:
    """Initialize the imported Airflow as its first import does, from this process's environment."""
    from airflow import configuration, settings

    configuration.AIRFLOW_HOME = settings.AIRFLOW_HOME = configuration.get_airflow_home()
    configuration.AIRFLOW_CONFIG = configuration.get_airflow_config(configuration.AIRFLOW_HOME)
    configuration.conf.__dict__.update(configuration.initialize_config().__dict__)
    settings.initialize()
