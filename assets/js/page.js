// What every page of the app needs beside its parts. It stands in the page's head: app/theme.py.

// Gradio's sliders cut a typed number to their own ends when the field is left, without a word. Here a
// number stays as it was typed: sliders end where a hand can aim, the settings go further, and what is
// impossible is said in words by the server.
const FIELD = ".lx-controls input[type=number]";

document.addEventListener("blur", (event) => {
  if (event.target.matches?.(FIELD)) event.stopPropagation(); // before Gradio's own listener hears it
}, true);

// A theme that was asked for in the address goes along to the other pages.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.(".nav-holder a, .lx-head a");
  const theme = new URLSearchParams(location.search).get("__theme");
  if (!link || !theme) return;
  const to = new URL(link.href);
  to.searchParams.set("__theme", theme);
  link.href = to;
}, true);

// Why a run failed is true of the settings that it had: it goes away when one of them or the text
// changes. It is hidden, not emptied, as Gradio would not show the same words a second time.
const PAST = "lx-past";
const ANSWER_MS = 400;
const problem = () => document.getElementById("run-problem");

function settingsChanged() {
  if (!problem()?.querySelector("p")) return;
  problem().classList.add(PAST);
  for (const root of document.querySelectorAll(".lc-root")) root.__lacache?.clearFailure?.();
}

const within = (event, selector) => event.target.closest?.(`.lx-controls ${selector}`);

document.addEventListener("input", (event) => {
  // What is typed into a list only looks for a choice.
  if (within(event, "input, .lx-controls textarea") && !within(event, "[role=listbox]")) settingsChanged();
}, true);
document.addEventListener("mousedown", (event) => within(event, "[role=option]") && settingsChanged(), true);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && within(event, "[role=listbox]")) settingsChanged();
}, true);
document.addEventListener("click", (event) => {
  if (within(event, ".reset-button")) settingsChanged();
  // By then the server has said something else, unless all is as wrong as before.
  else if (event.target.closest?.("#run")) setTimeout(() => problem()?.classList.remove(PAST), ANSWER_MS);
}, true);
