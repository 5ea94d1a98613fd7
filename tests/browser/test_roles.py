"""Each page and each action of Operations as Viewer, User and Admin, in a real browser: what works, and what a refused user reads.

The table `PAGES` names every page, who may open it, and for whom each of its buttons works. Production's auth manager FAB gives the rights:

    Viewer  reads DAGs and runs
    User    also starts runs, and answers approval requests
    Admin   also edits Variables and connections, as does Op, and roles

`test_operations.py` has a short test of each role with Airflow's simple auth manager, which starts faster.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from werkzeug.security import generate_password_hash

from include.gateway.api import keys
from include.identity import decisions
from include.operations.navigation import PATHS
from include.warehouse import schema
from local.processes import find_free_port
from tests.browser.conftest import BACKFILL, CHROMIUM, DAY_PAGE, GROUP, LISTS, log_in
from tests.conftest import Database
from tests.operations.quality_records import load_household, record_validation
from tests.operations.records import (
    DAY,
    record_check,
    record_day,
    record_dead_letter,
    record_event_troubles,
    record_pairs,
)
from tests.sign_on import production

ALL, USERS, ADMIN = ("Viewer", "User", "Admin"), ("User", "Admin"), ("Admin",)
"""For whom a page opens or an action works."""
PASSWORD = "only-for-tests"
UNCHANGED = "Nothing was changed."
REFUSED = f"Your role does not include this. {UNCHANGED}"
NO_CLIENTS = "This page shows clients. It requires the right to answer approval requests: ask an administrator for the role User."
ONLY_ADMIN = "Only users with the role Admin may do this."
ONLY_EDITORS = "You can read the thresholds. To change them, you need the right to edit Variables: ask an administrator of Airflow."


class Action(NamedTuple):
    """A button: for whom it works, the text that they then see, and the text that all others see.

    `fields` are filled in before, `first` is the button that shows it, and `result` what the run of `first` returns, because no run ends
    here. `before` prepares the server.
    """

    roles: tuple[str, ...] = USERS
    works: str = "queued"
    refused: str = REFUSED
    fields: Mapping[str, str] = {}
    first: str = ""
    result: Any = None
    before: Callable[[Served], None] | None = None


class Shown(NamedTuple):
    """A page: for whom it opens, its buttons by the start of their text, and what all others see."""

    roles: tuple[str, ...] = ALL
    actions: Mapping[str, Action] = {}
    refused: str = NO_CLIENTS


def set_paused(served: Served, is_paused: bool) -> None:
    """Let the Variable that pauses Salesforce exist or not."""
    request = served.pages["Admin"].request
    request.delete("/api/v2/variables/tributary_crm_paused")
    if is_paused:
        request.post("/api/v2/variables", data={"key": "tributary_crm_paused", "value": "true"})


def clear_backfills(served: Served) -> None:
    with closing(sqlite3.connect(served.metadata)) as db, db:
        db.executescript(
            "delete from backfill_dag_run; delete from dag_run where run_type = 'backfill'; delete from backfill"
        )


def start_backfill(served: Served) -> None:
    clear_backfills(served)
    admin = served.pages["Admin"]
    admin.goto(f"/operations/{BACKFILL}")
    admin.get_by_role("button", name="Start the backfill").click()
    admin.get_by_text("In progress").wait_for()


def decide_link(served: Served, is_same: bool) -> None:
    """Decide the opposite of what a button decides next, because a repeated decision changes nothing."""
    newest = "select max(decision_id) from control.identity_decision where left_id = 101"
    owner = schema.engine(served.database.admin_url)
    decisions.decide(owner, "person", 101, 102, is_same, "Asked", "ann", served.database.value(newest))
    owner.dispose()


READS = {"Filter", "Search", "Show", "Preview", "Previous", "Next", "Skip k", "Previous p", "Next n", ""}
"""Buttons that only show something else. A user who may open their page may also use them."""
RUN = Action()
SALESFORCE = {
    "Show changes": RUN,
    "Sync now": RUN,
    "Pause Salesforce": Action(ADMIN, "All writes are paused", before=lambda served: set_paused(served, False)),
    "Resume Salesforce": Action(ADMIN, "Pause Salesforce", before=lambda served: set_paused(served, True)),
}
DECIDE = dict.fromkeys(("Same", "Different"), Action(works="Recorded as decision"))
RULE = {"rule": "account_unfunded", "severity": "info", "now": 4, "proposed": 3}
OTHER_DAY = date(2026, 11, 24)
FAILED_DAY = DAY_PAGE.replace(str(DAY), str(OTHER_DAY))
CLIENTS = Shown(USERS)
PAGES = {
    "": Shown(ALL, {"Pull now": RUN, **SALESFORCE}),
    "health": Shown(),
    "runs?run_id=run-1": Shown(),
    "vendors/orion": Shown(ALL, {"Pull now": RUN, "Check now": RUN}),
    "vendors/emoney/backfill": Shown(ALL, {"Pull now": RUN}),
    BACKFILL: Shown(
        ALL,
        {
            "Start the backfill": Action(works="In progress", before=clear_backfills),
            "Stop": Action(works="Ended", before=start_backfill),
        },
    ),
    "salesforce": Shown(ALL, {**SALESFORCE, "Check now": RUN}),
    "checks": Shown(ALL, {"Check all": RUN, "Check now": RUN}),
    "checks/orion": Shown(ALL, {"Check now": RUN}),
    "find-client": Shown(USERS, {"Refresh": Action(fields={"Name of the client or household": "Sample"}, first="Search")}),
    "lists/dead-letters": Shown(),
    "clients/dead-letter-rows": CLIENTS,
    "clients/rejected-rows": CLIENTS,
    GROUP: Shown(
        USERS,
        {
            "Dry replay": RUN,
            "Replay 2 rows": Action(
                works="Done: 2 rows selected", first="Dry replay",
                result={"selected": 2, "keyless": 0, "found": 2, "landed": 2, "still_dead": 0},
            ),
            "Pull orion.assets": RUN,
            "Discard …": Action(fields={"Reason": "test account"}),
            "Discard 2 rows": Action(
                works="Done: 2 rows discarded", fields={"Reason": "test account"}, first="Discard …",
                result={"dead_letters": 2, "money_usd": "20", "released": 0},
            ),
            "Show the content": RUN,
        },
    ),
    "lists/reconciliation": Shown(),
    "clients/breaks": CLIENTS,
    DAY_PAGE: Shown(USERS, {"Sign off": Action(works="Signed off by", fields={"Note": "Compared"})}),
    FAILED_DAY: Shown(
        USERS, {"Accept and run the day": Action(fields={"Note": "The vendor confirmed it"})}
    ),
    "quality": Shown(),
    "quality/orion/assets/2026-11-25": Shown(),
    "quality-of-run?run_id=run-1": Shown(),
    "lineage": CLIENTS,
    f"lineage/record?{urlencode({'entity': 'household', 'vendor': 'made-up', 'key': 'h1'})}": CLIENTS,
    f"lineage/find?{urlencode({'entity': 'household', 'vendor': 'made-up', 'key': 'h1'})}": CLIENTS,
    "lineage/load?ledger_id=1": CLIENTS,
    "lineage/run?run_id=run-1": CLIENTS,
    "lineage/row?vendor=orion&table=assets&day=2026-11-25&key=A1": CLIENTS,
    "clients/findings": CLIENTS,
    "thresholds": Shown(
        ALL,
        {
            "Preview the findings": Action(ADMIN, refused=ONLY_EDITORS, fields={"unfunded_days": "45"}),
            "Save these thresholds": Action(
                ADMIN, "Admin", ONLY_EDITORS, {"unfunded_days": "46"}, "Preview the findings", [RULE]
            ),
        },
    ),
    "who-is-who/": Shown(
        USERS, DECIDE | {"Undo decision": Action(works="1 of", first="Different")}
    ),
    "who-is-who/links": CLIENTS,
    "who-is-who/decisions": Shown(USERS, {"Undo": Action(works="was undone")}),
    "who-is-who/pair?entity=person&left=101&right=102": Shown(
        USERS,
        {
            "Same": DECIDE["Same"]._replace(before=lambda served: decide_link(served, False)),
            "Different": DECIDE["Different"]._replace(before=lambda served: decide_link(served, True)),
        },
    ),
    "lists/salesforce-syncs": Shown(),
    "lists/salesforce-rejections": Shown(ALL, {"Send again": RUN, "Send these again": RUN}),
    "lists/salesforce-approvals": Shown(ALL, {"Request rejected changes again": RUN}),
    "lists/salesforce-held-back": Shown(),
    "lists/salesforce-jobs": Shown(),
    "clients/salesforce-differences": Shown(
        USERS, dict.fromkeys(("Check now", "Create again", "Leave to Salesforce", "Write again"), RUN)
    ),
    "lists/salesforce-adoption": Shown(
        ALL, dict.fromkeys(("Compare now", "Write approved keys", "Undo adoption", "Approve", "Withdraw"), RUN)
    ),
    "clients/salesforce-adoption-records": Shown(USERS, dict.fromkeys(("Same", "Not the same", "Undo decision"), RUN)),
    "lists/deliveries": Shown(),
    "lists/rejected-deliveries": Shown(),
    "lists/subscribers": Shown(ALL, {"Re-enable": RUN, "Send given-up events again": RUN}),
    "lists/given-up-events": Shown(ALL, {"Send again": RUN}),
    "lists/requests": Shown(),
    "lists/api-keys": Shown(
        ALL,
        {"Rotate": Action(ADMIN, "trb_", f"{ONLY_ADMIN} {UNCHANGED}"), "Revoke": Action(ADMIN, "revoked", f"{ONLY_ADMIN} {UNCHANGED}")},
    ),
    "api-keys/": Shown(
        ADMIN,
        {"Create the key": Action(ADMIN, "trb_", fields={"Name of the program": "boomi", "status:read": "on"})},
        ONLY_ADMIN,
    ),
    "clients/documents": CLIENTS,
    "lists/missing-documents": Shown(),
    "clients/activity": CLIENTS,
}  # fmt: skip
FILES = {"summary", "health.json", "vendors/{name}/ignored-fields.txt"}
"""Routes that return no page. They need no right."""
ACTIONS = [(path, name) for path, page in PAGES.items() for name in page.actions]

pytestmark = [pytest.mark.airflow, pytest.mark.skipif(CHROMIUM is None, reason="no browser is here")]


@dataclass
class Served:
    """A running Airflow with a browser for each role, its database (SQLite), and the firm's database."""

    pages: dict[str, Page]
    metadata: Path
    database: Database

    def read_state(self) -> dict[str, Any]:
        """Return all that an action can change: a digest of each of the firm's tables, and Airflow's runs, backfills and Variables."""
        with closing(sqlite3.connect(self.metadata)) as db:
            airflow = {name: db.execute(f"select * from {name} order by 1").fetchall() for name in _METADATA}
        return airflow | {row["name"]: row["digest"] for row in self.database.rows(self.digests)}

    @cached_property
    def digests(self) -> str:
        """The query of the digests. Entries of the audit trail about opened pages and refused calls (403) are not counted."""
        tables = self.database.rows("select tablename as name from pg_tables where schemaname = 'control'")
        return " union all ".join(
            f"select '{name}' as name, md5(string_agg(t::text, ',' order by t::text)) as digest from control.{name} t"
            + _COUNTED * (name == "audit")
            for name in (table["name"] for table in tables)
        )


_COUNTED = " where action not in ('operations.opened', 'identity.opened', 'as_of.read') and details ->> 'status' is distinct from '403'"
_RIGHTS = """
insert into ab_permission_view_role (permission_view_id, role_id)
select permission_view_id, 1000 from ab_permission_view_role join ab_role r on r.id = role_id where r.name = 'User'
except
select p.id, 1000 from ab_permission_view p join ab_permission a on a.id = permission_id join ab_view_menu v on v.id = view_menu_id
where a.name = 'can_create' and v.name = 'DAG Runs'
"""
"""The rights of a role of the firm's own, `Steward`: those of User, without the right to start runs."""
_METADATA = ("dag_run", "backfill", "variable", "hitl_detail")


def record_work(database: Database, folder: Path) -> None:
    """Record data with which every page shows all of its buttons."""
    record_day(database)
    record_check(database)
    record_day(database, OTHER_DAY, run="run-2")
    record_check(database, OTHER_DAY, run="run-2", breaks=1, actual=90)
    for key in ("A1", "A2"):
        record_dead_letter(database, key)
    database.do("update control.dead_letter set row_key = null where row_key = 'A2'")
    record_dead_letter(database, "C1", vendor="salesforce", table="Contact", stage="crm", reason="DUPLICATE_VALUE")
    record_validation(database, failed=2)
    record_event_troubles(database, "no response")
    record_pairs(database, 1, 20)
    record_pairs(database, 101, 3, table="link")
    load_household(database, folder, "Sample")
    owner = schema.engine(database.admin_url)
    for left in (31, 33, 35, 37):
        decisions.decide(owner, "person", left, left + 1, True, "Asked the client", "ann")
    database.do(
        "insert into control.crm_question (entity, question, records, difference, wording, run_id)"
        " values ('account', 'change', 300, 'd', '300 accounts would change', 'r')"
    )
    keys.make(owner, "monitor", ["status:read"], 90, "ann")
    owner.dispose()
    for kind, key, missing, left in (
        ("deleted", "k1", "deleted", "{}"),
        ("edited", "k2", None, "{}"),
        ("edited", "k3", None, "{Phone}"),
    ):
        database.do(
            "insert into control.crm_state (sobject, external_key, payload, salesforce_id, job_id, accepted_at, missing, left_fields)"
            " values ('Contact', :key, '{}', :key, 'j', now() - interval '1 day', cast(:missing as text), cast(:left as text[]))", key=key, missing=missing, left=left,
        )  # fmt: skip
        database.do(
            "insert into control.crm_difference (run_id, sobject, entity, kind, external_key, salesforce_id, fields)"
            " values ('r', 'Contact', 'person', :kind, :key, :key, '{Phone}')", kind=kind, key=key,
        )  # fmt: skip
    for entity, sobject, outcome in (
        ("household", "Account", "matched"),
        ("account", "FinServ__FinancialAccount__c", "matched"),
        ("person", "Account", "doubtful"),
    ):
        database.do(
            "insert into control.adoption_finding (entity, sobject, salesforce_id, external_key, outcome, candidates, ours, run_id)"
            " values (:entity, :sobject, :entity, 'k', :outcome, '[{\"external_key\": \"k\", \"agreed\": [], \"differed\": []}]', 'Pat Sample', 'r')",
            entity=entity, sobject=sobject, outcome=outcome,
        )  # fmt: skip
    database.do("""
        insert into control.adoption_approval (entity, is_approved, records, approved_by) values ('household', true, 1, 'ann');
        insert into control.adoption_decision (sobject, salesforce_id, external_key, is_same, decided_by) values ('Account', 'person', 'k', true, 'ann');
    """)


def write_connections(database: Database) -> dict[str, str]:
    host = json.dumps({"conn_type": "http", "host": "http://127.0.0.1:1"})
    web = database.url("tributary_web").replace("postgresql://", "postgres://")
    return {"tributary_db": web, "orion": host, "salesforce": host}


def open_browsers(browser: Browser, url: str) -> dict[str, Page]:
    """Log in as each role, each in a browser window of its own, which confirms every question."""
    pages = {}
    for role in (*ALL, "Steward"):
        pages[role] = browser.new_context(base_url=url).new_page()
        log_in(pages[role], role, PASSWORD)
        pages[role].set_default_timeout(20_000)
        pages[role].on("dialog", lambda dialog: dialog.accept())
    return pages


@pytest.fixture(scope="module")
def served(browser: Browser, shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Airflow with the sign-on of production."""
    home = tmp_path_factory.mktemp("fab")
    record_work(shared_database, home / "staging")
    settings = {f"AIRFLOW_CONN_{name.upper()}": value for name, value in write_connections(shared_database).items()}
    settings["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] = "False"
    with production.serve(home, find_free_port(), **settings) as server:
        stored = server.command("dags", "reserialize")
        assert stored.returncode == 0, stored.stderr[-3000:]
        server.query("insert into ab_role (id, name) values (1000, 'Steward')")
        server.query(_RIGHTS)
        for number, role in enumerate((*ALL, "Steward"), 1000):
            password = generate_password_hash(PASSWORD, method="scrypt:32768:8:3", salt_length=16)
            server.query(
                "insert into ab_user (id, first_name, last_name, username, email, password, active) values (?, 'A', 'B', ?, ?, ?, 1)",
                str(number), role, f"{role}@localhost", password,
            )  # fmt: skip
            server.query("insert into ab_user_role (user_id, role_id) select ?, id from ab_role where name = ?", str(number), role)  # fmt: skip
        yield Served(open_browsers(browser, server.url), home / "airflow.db", shared_database)


def end_runs(page: Page, result: Any) -> None:
    """Report each run that Airflow accepts as ended with a result, because no scheduler runs here."""

    def respond(route: Route) -> None:
        if "xcomEntries" in route.request.url:
            route.fulfill(json={"value": result})
            return
        response = route.fetch()
        is_run = route.request.method == "POST" and response.ok
        route.fulfill(response=response, json=response.json() | {"state": "success"} if is_run else response.json())

    page.route("**/api/v2/dags/**", respond)


def use(served: Served, role: str, path: str, name: str) -> None:
    """Use a button as a role. Require the text of the table, and that something has changed only if the action works for the role."""
    page, action = served.pages[role], PAGES[path].actions[name]
    if action.before:
        action.before(served)
    page.goto(f"/operations/{path}")
    if role not in PAGES[path].roles:
        expect(page.get_by_text(PAGES[path].refused)).to_be_visible()
        expect(page.get_by_role("button")).to_have_count(0)
        return
    is_allowed = role in action.roles
    before = served.read_state()
    try:
        if is_allowed:
            if action.result:
                end_runs(page, action.result)
            for label, value in action.fields.items():
                field = page.get_by_label(label).first
                field.check() if value == "on" else field.fill(value)
            if action.first:
                find_button(page, action.first).click()
                find_button(page, name).wait_for()
                before = served.read_state()
            with page.expect_response(lambda response: response.request.method != "GET"):
                find_button(page, name).click()
        elif find_button(page, name).count():
            find_button(page, name).evaluate("button => button.click()")  # it may be disabled
        text = page.get_by_text(action.works if is_allowed else action.refused)
        expect(text.filter(visible=True).first).to_be_visible()
    finally:
        page.unroute_all(behavior="wait")
    changed = {name for name, content in served.read_state().items() if content != before[name]}
    assert bool(changed) == is_allowed, changed


def find_button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=re.compile(f"^{re.escape(name)}")).first


@pytest.mark.long
@pytest.mark.parametrize("role", ALL)
@pytest.mark.parametrize("path", PAGES)
def test_a_page_opens_or_states_which_right_it_requires(served: Served, path: str, role: str) -> None:
    page = served.pages[role]
    response = page.goto(f"/operations/{path}")
    assert response is not None
    if role in PAGES[path].roles:
        assert response.status == 200
        assert page.locator("h1").inner_text() not in ("Not allowed", "Unavailable")
    else:
        assert response.status == 403
        expect(page.get_by_text(PAGES[path].refused)).to_be_visible()


@pytest.mark.long
@pytest.mark.parametrize("role", ALL)
@pytest.mark.parametrize(("path", "name"), ACTIONS)
def test_an_action_works_or_is_refused_and_changes_nothing(served: Served, path: str, name: str, role: str) -> None:
    use(served, role, path, name)


def request_approval(served: Served) -> None:
    """Let the run of the listed approval request wait for an answer."""
    run = {"dag_run_id": "questions_1", "logical_date": None, "conf": {"question_ids": [1]}}
    served.pages["Admin"].request.post("/api/v2/dags/approve_salesforce/dagRuns", data=run)
    with closing(sqlite3.connect(served.metadata)) as db, db:
        db.executescript("""
            update task_instance set state = 'awaiting_input' where run_id = 'questions_1' and task_id = 'decide';
            delete from hitl_detail;
            insert into hitl_detail (ti_id, options, subject, params, params_input, multiple, created_at)
            select id, '["Approve", "Reject"]', 'Approve?', '{}', '{}', 0, datetime() from task_instance where state = 'awaiting_input'
        """)


@pytest.mark.long
@pytest.mark.parametrize("role", ALL)
def test_an_approval_is_decided_on_airflows_page_or_refused(served: Served, role: str) -> None:
    page, is_allowed = served.pages[role], role in USERS
    request_approval(served)
    page.goto("/operations/lists/salesforce-approvals")
    page.get_by_role("link", name="Decide").click()
    before = served.read_state()
    page.get_by_role("button", name="Approve", exact=True).click()
    text = "Response received" if is_allowed else "You do not have permission to perform this action."
    page.get_by_text(text).first.wait_for()
    assert (served.read_state() != before) == is_allowed


@pytest.mark.long
def test_a_role_that_may_not_start_runs_accepts_no_day(served: Served) -> None:
    page, before = served.pages["Steward"], served.read_state()
    page.goto(f"/operations/{FAILED_DAY}")
    page.get_by_label("Note").first.fill("The vendor confirmed it")
    page.get_by_role("button", name="Accept and run the day").click()
    page.get_by_text(f"Accepting a day starts a run, which your role does not include. {UNCHANGED}").wait_for()
    assert served.read_state() == before


@pytest.mark.long
@pytest.mark.parametrize("role", ALL)
def test_every_role_finds_operations_in_airflow(served: Served, role: str) -> None:
    page = served.pages[role]
    page.goto("/")
    page.get_by_text("Operations today").wait_for()
    page.get_by_role("link", name="Operations", exact=True).click()
    page.frame_locator("iframe").get_by_role("heading", name="Today").wait_for()


def test_the_table_names_every_page() -> None:
    plugins = production.ROOT / "plugins" / "tributary"
    routes = set()
    for file in (*(plugins / "operations").glob("*.py"), plugins / "pages" / "operations.py"):
        prefix = "".join(re.findall(r'APIRouter\(prefix="/([^"]*)"', (text := file.read_text())))
        routes |= {(prefix + path).removeprefix("/") for path in re.findall(r'@(?:router|app)\.get\("([^"]*)"', text)}
    named = [path.partition("?")[0] for path in PAGES]
    assert {
        each for each in routes if not any(re.fullmatch(re.sub(r"{\w+}", "[^/]+", each), path) for path in named)
    } == FILES
    assert {*LISTS, *PATHS.values()} - PAGES.keys() == set()


@pytest.mark.long
def test_the_table_names_every_action(served: Served) -> None:
    page = served.pages["Admin"]
    unnamed = {}
    for path, shown in PAGES.items():
        page.goto(f"/operations/{path}")
        texts = page.locator("button, [data-dag], form:not(:has(button))").evaluate_all(
            "all => all.map(each => each.textContent.trim())"
        )
        if found := {text for text in texts if text not in READS and not text.startswith((*shown.actions,) or " ")}:
            unnamed[path] = found
    assert unnamed == {}
