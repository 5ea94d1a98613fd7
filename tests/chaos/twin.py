"""The undisturbed twin of a demo: a copy of its database, sandbox and staging, on which the same days run in this process."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from include.business_dates import latest_closed
from include.connection import Connection
from include.crm import tasks
from include.crm.run import Org, SyncRun
from include.crm.settings import Settings
from include.crm.sync.load import Scope, sync
from include.crm.sync.preview import preview
from include.identity.resolve import resolve
from include.keys.keyring import Keyring
from include.pipeline import vendor_day
from include.pipeline.plan import plan_day
from include.pipeline.run import Run, Site, VendorRun
from include.rules import HOUSEHOLD_RULES, RULES
from include.rules.evaluation import evaluate_all
from include.rules.policy import Policy
from include.staging.partitions import Staging
from include.vendors import VENDORS, named
from include.warehouse import schema
from local.demo import DATABASE, Demo
from local.postgres import Postgres, _find_binaries
from local.processes import find_free_port
from local.sandbox_process import PACE, Served, start_sandbox
from tests.chaos.plan import Edit

SETTINGS = Settings(firm="demo")


@dataclass
class Twin:
    """A database, sandbox and staging of its own, in one folder; none of it is ever killed."""

    folder: Path
    postgres: Postgres
    sandbox_url: str
    connections: dict[str, dict[str, Any]]
    keys: str

    @classmethod
    def copy(cls, demo: Demo, folder: Path) -> Twin:
        """Copy an idle demo, and start the copy's own server and sandbox."""
        folder.mkdir(parents=True)
        for name in ("sandbox", "staging"):
            shutil.copytree(demo.folder / name, folder / name)
        postgres = Postgres.start(folder / "postgres", find_free_port(), durable=False)
        postgres.create_database(DATABASE)
        settings = demo._settings()
        schema.create_roles(postgres.url(DATABASE), settings["passwords"])
        _copy_database(demo.postgres.url(DATABASE), postgres.url(DATABASE))
        here = Demo(folder)
        url = f"http://127.0.0.1:{find_free_port()}"
        served = Served(here._find_households(None))
        started = start_sandbox(here.processes, folder / "sandbox", url, find_free_port(), served)
        return cls(folder, postgres, url, started.connections, settings["keys"])

    @functools.cached_property
    def site(self) -> Site:
        """The site of the twin's runs."""
        keyring = Keyring.parse(self.keys)
        staging = Staging(str(self.folder / "staging"), keyring.staging)
        return Site(schema.engine(self.postgres.url(DATABASE)), staging, keyring, speed=PACE)

    def edit(self, edits: Sequence[Edit]) -> list[tuple[Edit, dict[str, Any]]]:
        """Make edits at the sandbox; return those that were possible, each with its response."""
        responses = [(each, post(self.sandbox_url, each)) for each in edits]
        return [(each, response.json()) for each, response in responses if response.ok]

    def run_day(self, vendor_name: str, day: str | None, run_id: str) -> None:
        """Run a vendor's day, step by step as its DAG does."""
        vendor, connection = named(vendor_name), self._connect(vendor_name)
        form = {
            "business_date": day,
            "tables": [table.name for table in vendor.requested_tables],
            "full_refresh": False,
            "on_demand": False,
        }
        plan = plan_day(vendor, form, None)
        vendor_run = VendorRun(self.site, vendor, connection, Run.of_plan(run_id, plan))
        names = [name for stage in vendor.stages for name in stage if name in plan["tables"]]
        partitions = [vendor_day.stage(vendor_run, name) for name in names]
        vendor_day.validate(vendor_run, partitions)
        for each in partitions:
            vendor_day.transform(vendor_run, each)
        vendor_day.publish(vendor_run, partitions)

    def sync(self, run_id: str) -> None:
        """Run identity, rules and the Salesforce sync as the DAG does, with all changes approved."""
        engine, today = self.site.engine, latest_closed(datetime.now(UTC))
        resolve(engine, VENDORS, run_id, today)
        evaluate_all(engine, Policy(), run_id)
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        concerns = preview(engine, SETTINGS, 0).concerns
        org, run = Org(engine, self._connect("salesforce"), SETTINGS), SyncRun(run_id, today)
        sync(org, run, work, Scope(concerns))
        specs = {
            r.name: tasks.TaskSpec(r.task_subject, r.due_days) for r in (*RULES, *HOUSEHOLD_RULES) if r.task_subject
        }
        tasks.sync(org, run, specs)

    def stop(self) -> None:
        """End server and sandbox."""
        self.site.engine.dispose()
        Demo(self.folder).processes.stop_all()
        self.postgres.stop()

    def remove(self) -> None:
        """Stop, and delete the folder."""
        self.stop()
        self.postgres.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _connect(self, name: str) -> Connection:
        definition = self.connections[name]
        if name == "salesforce":
            return Connection(
                definition["host"], "tributary", "sandbox-only", {"grant": "client_credentials", "firm": "demo"}
            )
        return Connection(definition["host"], definition["login"], definition["password"], definition["extra"])


def post(sandbox_url: str, edit: Edit) -> requests.Response:
    """Make an edit at a sandbox."""
    return requests.post(f"{sandbox_url}/_sandbox/{edit.path}", json=edit.values, timeout=60)


def _copy_database(source: str, target: str) -> None:
    """Dump and restore with each server's own programs."""
    programs = _find_binaries()
    dump = [programs / "pg_dump", "--dbname", source]
    restore = [
        programs / "psql",
        "--quiet",
        "--no-psqlrc",
        "--set=ON_ERROR_STOP=1",
        "--single-transaction",
        "--dbname",
        target,
    ]
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    with subprocess.Popen(dump, stdout=subprocess.PIPE, env=environment) as dumping:
        subprocess.run(restore, stdin=dumping.stdout, stdout=subprocess.DEVNULL, env=environment, check=True)
    if dumping.returncode:
        raise RuntimeError(f"pg_dump failed with {dumping.returncode}")
