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
  const link = event.target.closest?.(".nav-holder a");
  const theme = new URLSearchParams(location.search).get("__theme");
  if (!link || !theme) return;
  const to = new URL(link.href);
  to.searchParams.set("__theme", theme);
  link.href = to;
}, true);
