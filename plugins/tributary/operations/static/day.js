// The page of a business date: sign-off, and acceptance with the run that loads the day. It uses functions of operations.js.

const dayForm = document.getElementById("day");

async function decide(button, outcome) {
  const { decision, confirm: question } = button.dataset;
  const { vendor, date, seen } = dayForm.dataset;
  const note = dayForm.elements[decision].value.trim();
  if (!note) throw new Error("The note is empty: write why.");
  if (question && !agree(question)) return;
  if (decision === "accepted") await refusePaused(vendor); // before the decision is recorded
  const body = JSON.stringify({ decision, vendor, business_date: date, note, seen });
  await call("day", { method: "POST", body });
  if (decision === "accepted")
    await follow(vendor, { business_date: date, accept_unusual: true }, (state, link) => outcome.replaceChildren(`${state} … `, link));
  location.reload();
}

dayForm.addEventListener("submit", (event) => event.preventDefault());
dayForm.querySelectorAll("button[data-decision]").forEach((button) =>
  button.addEventListener("click", async () => {
    const outcome = button.closest("p").nextElementSibling;
    button.disabled = true;
    try {
      await decide(button, outcome);
    } catch (error) {
      outcome.replaceChildren(error.message);
    } finally {
      button.disabled = false;
    }
  }),
);
