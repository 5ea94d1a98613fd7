"""Work for a pair while it runs: edits at vendors and in Salesforce, signed envelopes, and triggered runs."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from local import warehouse_rows
from local.day import APPROVAL
from local.demo import DATABASE, SIGNING, Place
from tests.chaos.plan import Edit, _keys
from tests.chaos.twice.pair import Pair
from tests.chaos.twin import post
from tests.vendors.matter import matter_of

_LOADED = "select distinct vendor from control.ledger where stage = 'load' order by 1"
_DATA = "services/data/v66.0/sobjects"


@dataclass
class Work:
    """What the harness did, for the comparison at the end.

    Attributes:
        titles: The titles that were given to a contact in Salesforce, each once.
        signed: Ids of the envelopes that were signed by all recipients.
        triggered: Ids of the runs that were triggered by API.
    """

    pair: Pair
    place: Place
    titles: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    triggered: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(7)
        self._contact = self._create_contact()
        self._signing = self._sign_forever()

    def run(self, seconds: float) -> None:
        """Work for this long."""
        end = time.monotonic() + seconds
        jobs: dict[Callable[[], object], float] = {
            self._edit_contact: 7,
            lambda: next(self._signing): 10,
            self._trigger: 30,
            self._edit_vendor: 60,
            self.approve: 10,
        }
        due = dict.fromkeys(jobs, 0.0)
        while (now := time.monotonic()) < end:
            for job, pause in jobs.items():
                if now >= due[job]:
                    job()
                    due[job] = now + pause
            time.sleep(0.5)

    def _create_contact(self) -> str:
        user = {"client_id": "person", "client_secret": "sandbox-only", "username": "person@sample-wealth.example"}
        requests.post(f"{self.place.sandbox_url}/salesforce/_admin/consumers", json=user, timeout=30).raise_for_status()
        org = self.place.connections["salesforce"]["host"]
        form = {"grant_type": "client_credentials"} | user
        token = requests.post(f"{org}/services/oauth2/token", data=form, timeout=30).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        values = {"LastName": "Of the harness"}
        response = requests.post(f"{org}/{_DATA}/Contact", json=values, headers=headers, timeout=30)
        response.raise_for_status()
        return str(response.json()["id"])

    def _edit_contact(self) -> None:
        title = f"Title {len(self.titles)}"
        url = f"{self.place.sandbox_url}/salesforce/_admin/records/Contact/{self._contact}"
        requests.patch(url, json={"Title": title}, timeout=30).raise_for_status()
        self.titles.append(title)

    def _sign_forever(self) -> Any:
        """Send envelopes, have each opened and signed by all recipients; yield after each step."""
        while True:
            with warehouse_rows.connect(self.pair.postgres.url(DATABASE)) as database:
                households = [int(key) for key in _keys(database, "household", "orion")]
            if not households:
                yield
                continue
            values = {"household": self._random.choice(households), "template": "Advisory agreement"}
            envelope = self._do("send", values)["envelopeId"]
            yield
            self._do("deliver", {"envelope_id": envelope})
            yield
            while self._do("sign", {"envelope_id": envelope})["status"] != "completed":
                yield
            self.signed.append(envelope)
            yield

    def _do(self, kind: str, values: dict[str, Any]) -> Any:
        response = post(self.place.sandbox_url, Edit(f"{SIGNING}/{kind}", values))
        response.raise_for_status()
        return response.json()

    def _trigger(self) -> None:
        self.triggered.append(self.place.api.trigger("twice_triggered"))

    def approve(self) -> bool:
        """Approve the large changes of Salesforce that the edits have caused; return whether none is left to approve."""
        waiting = self.place.api.find_active([APPROVAL])
        for dag_id, run_id in waiting:
            if self.place.api.task_states(dag_id, run_id).get("decide") == "awaiting_input":
                self.place.api.approve(dag_id, run_id, "decide")
        return not waiting

    def _edit_vendor(self) -> None:
        """Make the edits of one vendor that has loaded a day; those that are no longer possible are rejected."""
        with warehouse_rows.connect(self.pair.postgres.url(DATABASE)) as database:
            vendors = [row["vendor"] for row in warehouse_rows.read_rows(database, _LOADED)]
            if not vendors:
                return
            edits = matter_of(self._random.choice(vendors)).draw_edits(self._random, lambda *of: _keys(database, *of))
        for edit in edits:
            post(self.place.sandbox_url, edit)


def wait_until(is_so: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait.

    Raises:
        TimeoutError: It is not so after these seconds.
    """
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"not after {seconds:.0f} s: {what}")
        time.sleep(1)
