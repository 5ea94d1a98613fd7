// Keys, confirmations and single submission of the forms of Operations. A button or an option with `data-key` is chosen by that key, unless the
// user is typing in a field. Enter has no function.

let isBusy = false;

function isTyping(element) {
  return element instanceof Element && element.closest("input, select, textarea") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && isTyping(event.target)) event.target.blur();
  if (isBusy || event.repeat || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const chosen = document.querySelector(`[data-key="${CSS.escape(event.key)}"]:not(:disabled)`);
  if (!chosen) return;
  event.preventDefault();
  if (chosen instanceof HTMLOptionElement) chosen.selected = true;
  else chosen.click();
});

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (isBusy || (question && !agree(question))) event.preventDefault();
  else isBusy = true;
});

// A page that is shown again from the browser's history may be used again.
window.addEventListener("pageshow", () => {
  isBusy = false;
});
if (window.parent !== window) window.focus();
