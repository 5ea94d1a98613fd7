// Preview, start, watch and stop a backfill by Airflow's API, as the user. The server has computed the data intervals from the business dates.

const progress = document.querySelector("#progress");
const start = document.querySelector("#start");
const again = document.querySelector("#again");
const vendor = progress?.dataset.vendor;
const PAUSE_MS = 4000;

function findRow(moment) {
  const time = Date.parse(moment);
  return [...document.querySelectorAll("tr[data-interval]")].find((row) => Date.parse(row.dataset.interval) === time);
}

function writeBody() {
  const reprocess_behavior = again.checked ? "completed" : "failed";
  return JSON.stringify({ ...JSON.parse(start.dataset.request), reprocess_behavior });
}

// Airflow states which intervals get a run; it skips those whose run exists.
async function showPlannedRuns() {
  document.querySelectorAll("tr[data-interval] .run").forEach((cell) => (cell.textContent = "skipped: it has a run"));
  try {
    const { backfills } = await call("/api/v2/backfills/dry_run", { method: "POST", body: writeBody() });
    for (const { logical_date } of backfills) {
      const cell = findRow(logical_date)?.querySelector(".run");
      if (cell) cell.textContent = "a run starts";
    }
    start.disabled = backfills.length === 0;
    const repeats = backfills.filter(({ logical_date }) => !findRow(logical_date)).length;
    const holidays = repeats ? ` ${repeats} of them for holidays: they load the trading day before again.` : "";
    report(start, backfills.length ? `${backfills.length} runs.${holidays}` : "Every date has a run. Select the box to load them again.");
    return backfills.length;
  } catch (error) {
    document.querySelectorAll("tr[data-interval] .run").forEach((cell) => (cell.textContent = ""));
    start.disabled = true;
    report(start, error.message);
    return 0;
  }
}

async function readRuns(backfill) {
  const runs = [];
  let total = 1;
  while (runs.length < total) {
    const query = new URLSearchParams({
      run_type: "backfill", logical_date_gte: backfill.from_date, logical_date_lte: backfill.to_date,
      updated_at_gte: backfill.created_at, order_by: "logical_date", limit: 100, offset: runs.length,
    });
    const page = await call(`/api/v2/dags/${vendor}/dagRuns?${query}`);
    total = page.total_entries;
    runs.push(...page.dag_runs);
    if (!page.dag_runs.length) break;
  }
  return runs;
}

function estimateEnd(backfill, done, total) {
  if (!done) return "";
  const spent = Date.now() - Date.parse(backfill.created_at);
  const end = new Date(Date.now() + (spent / done) * (total - done));
  return ` It ends at about ${end.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })}.`;
}

function showProgress(backfill, runs, isPaused) {
  const failed = runs.filter((run) => run.state === "failed").length;
  const done = failed + runs.filter((run) => run.state === "success").length;
  const hint = isPaused ? " The DAG is paused, so no run starts: switch it on." : "";
  const text = `${done} of ${runs.length} runs done${failed ? `, ${failed} failed` : ""}.`;
  progress.hidden = false;
  progress.querySelector("[role=status]").textContent = text + (backfill.completed_at ? "" : estimateEnd(backfill, done, runs.length)) + hint;
  Object.assign(progress.querySelector("progress"), { max: runs.length || 1, value: done });
  for (const run of runs) {
    const cell = findRow(run.logical_date)?.querySelector(".run");
    if (!cell) continue;
    const link = document.createElement("a");
    link.href = `/dags/${run.dag_id}/runs/${encodeURIComponent(run.dag_run_id)}`;
    link.target = "_top";
    link.textContent = run.state;
    cell.replaceChildren(link);
  }
}

async function watch(backfill) {
  const stop = progress.querySelector(".stop");
  stop.onclick = () => stopBackfill(backfill, stop);
  if (start) start.disabled = true;
  for (;;) {
    const current = await call(`/api/v2/backfills/${backfill.id}`);
    const [runs, dag] = await Promise.all([readRuns(current), call(`/api/v2/dags/${vendor}`)]);
    const isRunning = runs.some((run) => run.state === "running");
    showProgress(current, runs, dag.is_paused);
    progress.querySelector("h2").textContent = current.completed_at ? (isRunning ? "Stopped: the last run ends" : "Ended") : "In progress";
    stop.hidden = Boolean(current.completed_at);
    if (current.completed_at && !isRunning) break;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  if (start) start.disabled = false;
}

async function stopBackfill(backfill, button) {
  if (!agree("Stop the backfill? Runs that wait do not start; the run in progress continues to its end.")) return;
  button.disabled = true;
  try {
    await call(`/api/v2/backfills/${backfill.id}/cancel`, { method: "PUT" });
    report(button, "Stopped.");
  } catch (error) {
    report(button, error.message);
  } finally {
    button.disabled = false;
  }
}

async function startBackfill() {
  const count = await showPlannedRuns();
  if (!count || !agree(`Start ${count} runs that load past dates of ${start.dataset.title}?`)) return;
  start.disabled = true;
  try {
    const backfill = await call("/api/v2/backfills", { method: "POST", body: writeBody() });
    report(start, "Started.");
    await watch(backfill);
  } catch (error) {
    start.disabled = false;
    report(start, error.message);
  }
}

async function showRunning() {
  try {
    const { backfills } = await call(`/api/v2/backfills?${new URLSearchParams({ dag_id: vendor, order_by: "-id", limit: 1 })}`);
    if (backfills.length && !backfills[0].completed_at) await watch(backfills[0]);
  } catch (error) {
    progress.hidden = false;
    progress.querySelector("[role=status]").textContent = error.message;
  }
}

if (progress) showRunning();
if (start) {
  showPlannedRuns();
  again.addEventListener("change", showPlannedRuns);
  start.addEventListener("click", startBackfill);
}
