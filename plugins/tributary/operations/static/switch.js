// Pause and resume writing to Salesforce: set Airflow's Variable by Airflow's API, as the user.

async function setVariable(key, value) {
  const body = JSON.stringify({ key, value, description: "Set on the Operations pages" });
  const exists = (await call(`/api/v2/variables?${new URLSearchParams({ variable_key_pattern: key })}`)).variables.some((each) => each.key === key);
  return exists
    ? call(`/api/v2/variables/${key}?update_mask=value`, { method: "PATCH", body: JSON.stringify({ key, value }) })
    : call("/api/v2/variables", { method: "POST", body });
}

async function switchVariable(button) {
  const { variable, value, confirm: question } = button.dataset;
  if (!agree(question)) return;
  button.disabled = true;
  try {
    await setVariable(variable, value);
    window.location.reload();
  } catch (error) {
    button.disabled = false;
    report(button, error.message);
  }
}

document.querySelectorAll("button[data-variable]").forEach((button) => button.addEventListener("click", () => switchVariable(button)));
