// The form of the thresholds: check, preview by a run, save what was previewed. It uses `call`, `follow`, `readValue` and `agree` of operations.js.

const thresholds = document.getElementById("thresholds");
const outcome = document.getElementById("outcome");
const result = document.getElementById("result");
const save = document.getElementById("save");
const seen = JSON.parse(thresholds.dataset.seen);
let previewed = null;

function readForm() {
  const fields = [...thresholds.elements].filter((field) => field.name);
  return Object.fromEntries(fields.map((field) => [field.name, field.type === "checkbox" ? field.checked : field.value]));
}

function cellOf(text, tag = "td") {
  const cell = document.createElement(tag);
  cell.textContent = text;
  return cell;
}

function rowOf(texts, tag) {
  const row = document.createElement("tr");
  row.append(...texts.map((text) => cellOf(text, tag)));
  return row;
}

function show(rules) {
  const table = document.createElement("table");
  table.createTHead().append(rowOf(["Rule", "Severity", "Findings now", "With these thresholds", "Difference"], "th"));
  const body = table.createTBody();
  for (const { rule, severity, now, proposed } of rules) {
    const counts = now === null ? ["not evaluated today", "", ""] : [now, proposed, proposed - now || "none"];
    body.append(rowOf([rule, severity, ...counts]));
  }
  result.replaceChildren(table);
  result.hidden = false;
}

async function preview() {
  const values = readForm();
  const checked = await call("thresholds/check", { method: "POST", body: JSON.stringify({ values, seen }) });
  const names = Object.keys(checked.changes);
  if (!names.length) throw new Error("No threshold is different from the one in force.");
  const conf = { thresholds: checked.thresholds };
  const run = await follow("preview_thresholds", conf, (state, link) => outcome.replaceChildren(`${state} … `, link));
  show(await readValue(run, "preview"));
  outcome.textContent = `Changed: ${names.join(", ")}. Nothing is saved yet.`;
  previewed = values;
  save.hidden = false;
}

async function store() {
  if (!agree("Put these thresholds in force? Findings open and close with the next run.")) return;
  await call("thresholds", { method: "POST", body: JSON.stringify({ values: previewed, seen }) });
  location.reload();
}

async function attempt(button, action) {
  button.disabled = true;
  try {
    await action();
  } catch (error) {
    outcome.textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

thresholds.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(document.getElementById("preview"), preview);
});
thresholds.addEventListener("input", () => {
  save.hidden = true;
  result.hidden = true;
});
save.addEventListener("click", () => attempt(save, store));
