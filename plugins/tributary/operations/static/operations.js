// The script of the Operations pages: Airflow's theme, times in the viewer's zone, links to Airflow's own pages, and buttons that start runs.
// A button calls Airflow's API with the user's own login, so that Airflow checks the user's rights and records who did it.

const airflow = window.parent === window ? null : window.parent.document;
const COPIED = ["colors-bg", "colors-bg-subtle", "colors-fg", "colors-fg-muted", "colors-border", "fonts-body"];

function copyTheme() {
  const host = airflow.documentElement;
  const isDark = host.classList.contains("dark") || host.dataset.theme === "dark";
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
  for (const name of COPIED) {
    const value = getComputedStyle(host).getPropertyValue(`--chakra-${name}`);
    if (value) document.documentElement.style.setProperty(`--airflow-${name.replace("colors-", "")}`, value);
  }
}

function showLocalTime(element) {
  const format = { dateStyle: "medium", timeStyle: "short" };
  element.title = element.textContent;
  element.textContent = new Date(element.dateTime).toLocaleString(undefined, format);
}

// Airflow's frame may neither navigate the page around it nor open another, but a link inside that page may do both.
function openInAirflow(event) {
  const link = event.target.closest('a[target="_top"], a[target="_blank"]');
  if (!link || !airflow) return;
  event.preventDefault();
  const copy = airflow.createElement("a");
  copy.href = link.href;
  if (link.target === "_blank") Object.assign(copy, { target: "_blank", rel: "noopener" });
  airflow.body.append(copy);
  copy.click();
  copy.remove();
}

async function call(path, options = {}) {
  const response = await fetch(path, { headers: { "Content-Type": "application/json" }, ...options });
  if (!response.ok) {
    const { detail } = await response.json().catch(() => ({}));
    if (response.status === 403) throw new Error(`${!detail || detail === "Forbidden" ? "Your role does not include this" : detail}. Nothing was changed.`);
    throw new Error(typeof detail === "string" ? detail : detail?.reason || `Unexpected response (HTTP ${response.status})`);
  }
  return response.json();
}

// Airflow's frame shows no dialogs of its own (its sandbox lacks `allow-modals`), so the page around it shows the question.
function agree(question) {
  return window.parent.confirm(question);
}

function makeLink(href, text, target = "_top") {
  return Object.assign(document.createElement("a"), { href, target, textContent: text });
}

function linkTo(run) {
  return makeLink(`/dags/${run.dag_id}/runs/${encodeURIComponent(run.dag_run_id)}`, "Run");
}

function report(button, text, run, page) {
  let status = button.nextElementSibling;
  if (!status || !status.matches("[role=status]")) {
    status = document.createElement("span");
    status.setAttribute("role", "status");
    button.after(status);
  }
  status.textContent = text + " ";
  if (page) status.append(makeLink(page, "Page", "_blank"), " ");
  if (run) status.append(linkTo(run));
}

// A result of several values is written value by value; nested values in parentheses.
function describe(value) {
  if (value === null || typeof value !== "object") return String(value);
  if (Array.isArray(value)) return value.map(describe).join("; ");
  const parts = Object.entries(value).filter(([name, each]) => name !== "page" && describe(each) !== "");
  return parts.map(([name, each]) => `${name.replaceAll("_", " ")}: ${each && typeof each === "object" ? `(${describe(each)})` : each}`).join(", ");
}

async function readValue(run, task) {
  const path = `/api/v2/dags/${run.dag_id}/dagRuns/${encodeURIComponent(run.dag_run_id)}/taskInstances/${task}/xcomEntries/return_value`;
  return (await call(path)).value;
}

async function readResult(run, task) {
  const value = await readValue(run, task).catch(() => "");
  try {
    return typeof value === "string" ? JSON.parse(value) : value;
  } catch {
    return value;
  }
}

async function refusePaused(dag) {
  const { dag_display_name: name, is_paused: isPaused } = await call(`/api/v2/dags/${dag}`);
  if (isPaused) throw new Error(`The DAG "${name}" is paused, so no run would start. Switch it on first.`);
}

// Starts a run and waits until it has ended; `showState` receives each state and the run. A paused DAG starts no run.
async function awaitRun(dag, conf, showState) {
  await refusePaused(dag);
  const body = JSON.stringify({ logical_date: null, conf });
  let run = await call(`/api/v2/dags/${dag}/dagRuns`, { method: "POST", body });
  while (["queued", "running"].includes(run.state)) {
    showState(run.state, run);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    run = await call(`/api/v2/dags/${dag}/dagRuns/${encodeURIComponent(run.dag_run_id)}`);
  }
  return run;
}

// The same for a page that shows the result: throws if the run fails.
async function follow(dag, conf, showState) {
  const run = await awaitRun(dag, conf, (state, started) => showState(state, linkTo(started)));
  if (run.state === "success") return run;
  throw new Error(`The run ${run.dag_run_id} of ${dag} failed: its log in Airflow names the reason.`);
}

async function startRun(button) {
  const { dag, conf, confirm: question, result, failed } = button.dataset;
  if (question && !agree(question)) return;
  button.disabled = true;
  try {
    const run = await awaitRun(dag, JSON.parse(conf), (state, started) => report(button, `${state} …`, started));
    const answer = result && run.state === "success" ? await readResult(run, result) : "";
    report(button, run.state === "success" ? `Done. ${describe(answer)}` : failed, run, answer?.page);
  } catch (error) {
    report(button, error.message);
  } finally {
    button.disabled = false;
  }
}

if (airflow) {
  copyTheme();
  new MutationObserver(copyTheme).observe(airflow.documentElement, { attributes: true });
} else if (window.matchMedia("(prefers-color-scheme: dark)").matches) {
  document.documentElement.dataset.theme = "dark";
}
document.querySelectorAll("time").forEach(showLocalTime);
document.addEventListener("click", openInAirflow);
document.querySelectorAll("button[data-dag]").forEach((button) => button.addEventListener("click", () => startRun(button)));
document.querySelectorAll(".filters select").forEach((select) => select.addEventListener("change", () => select.form.submit()));
