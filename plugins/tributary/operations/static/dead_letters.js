// The page of a group of dead letters: a dry run with its result in place, then the same selection for good.
// It uses `call`, `follow` and `agree` of operations.js.

const form = document.getElementById("dead-letters");
const boxes = [...form.querySelectorAll("input[name=row]")];
const OUTCOMES = {
  replay: (result) =>
    `${result.selected} rows selected, ${result.found} returned by the vendor, ` +
    `${result.landed} ${result.is_dry ? "would be " : ""}loaded, ${result.still_dead} still bad` +
    (result.keyless ? `; ${result.keyless} have no key, so only a new run brings them` : ""),
  discard: (result) =>
    `${result.dead_letters} rows ${result.is_dry ? "would be " : ""}discarded` +
    (result.money_usd === null ? "" : `, with $${result.money_usd}`) +
    (result.released ? `; the next run may withdraw ${result.released} stored rows that only they protect` : ""),
  show: (result) => `${result} rows`,
};

function listTicked() {
  return boxes.filter((box) => box.checked).map((box) => Number(box.value));
}

function select(action) {
  if (action === "show") return { dead_letters: boxes.map((box) => Number(box.value)), group: null };
  const ticked = form.elements.scope.value === "ticked";
  if (ticked && !listTicked().length) throw new Error("No row is ticked: tick the rows, or select all rows of the group.");
  return ticked ? { dead_letters: listTicked(), group: null } : { dead_letters: [], group: JSON.parse(form.dataset.group) };
}

function writeConf(action) {
  const conf = { action, dry_run: action !== "show", ...select(action) };
  if (action === "replay") Object.assign(conf, { table: form.dataset.table, business_date: form.dataset.date });
  if (action === "discard") {
    conf.reason = form.elements.reason.value.trim();
    if (!conf.reason) throw new Error("The reason is empty: write why these rows will never be loaded.");
  }
  return conf;
}

async function perform(outcome, conf) {
  const run = await follow("replay_dead_letters", conf, (state, link) => outcome.replaceChildren(`${state} … `, link));
  const result = await readValue(run, conf.action);
  const text = OUTCOMES[conf.action](result instanceof Object ? { ...result, is_dry: conf.dry_run } : result);
  outcome.replaceChildren(`${conf.dry_run ? "Dry run" : "Done"}: ${text}. `, linkTo(run));
  return conf.action === "replay" ? result.landed : result.dead_letters;
}

async function act(button) {
  const outcome = (button.closest("section") || button.parentElement).querySelector(".outcome");
  button.disabled = true;
  try {
    const conf = writeConf(button.dataset.act);
    const rows = await perform(outcome, conf);
    if (conf.action === "show") location.reload();
    else if (rows) offer(button, outcome, conf, rows);
  } catch (error) {
    outcome.replaceChildren(error.message);
  } finally {
    button.disabled = false;
  }
}

// The second button acts on exactly what the dry run was about, whatever is ticked meanwhile.
function offer(button, outcome, conf, rows) {
  const again = document.createElement("button");
  again.type = "button";
  again.textContent = `${button.dataset.again} ${rows} rows`;
  again.addEventListener("click", async () => {
    if (!agree(`${button.dataset.confirm} (${rows} rows)`)) return;
    again.disabled = true;
    try {
      await perform(outcome, { ...conf, dry_run: false });
      outcome.append(" Reload the page to see what is left.");
    } catch (error) {
      outcome.replaceChildren(error.message);
    }
  });
  outcome.append(" ", again);
  again.focus();
}

function countTicked() {
  document.getElementById("ticked").textContent = listTicked().length;
  if (listTicked().length) form.elements.scope.value = "ticked";
}

form.addEventListener("submit", (event) => event.preventDefault());
form.querySelectorAll("button[data-act]").forEach((button) => button.addEventListener("click", () => act(button)));
boxes.forEach((box) => box.addEventListener("change", countTicked));
document.getElementById("every").addEventListener("change", (event) => {
  boxes.forEach((box) => (box.checked = event.target.checked));
  countTicked();
});
