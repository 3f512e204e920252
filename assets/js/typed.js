// Gradio's sliders cut a typed number to their own ends when the field is left, without a word. Here a
// number stays as it was typed: sliders end where a hand can aim, the settings go further, and what is
// impossible is said in words by the server.

const FIELD = ".lx-controls input[type=number]";

document.addEventListener("blur", (event) => {
  if (event.target.matches?.(FIELD)) event.stopPropagation(); // before Gradio's own listener hears it
}, true);
