// Stands in the page before anything of Gradio's does (app/early.py).
//
// Gradio's display of waiting times (6.31) keeps `requestAnimationFrame` when its code is loaded, and goes on
// asking for sixty frames a second once it has left the page: a fourteenth of a processor, for ever, on
// a page on which nothing moves. Whoever keeps the function that early gets one that slows down after a
// few seconds' worth of frames; everybody else finds the browser's own in its place by then.
(() => {
  const MANY = 240, SLOWLY_MS = 500;
  const ask = window.requestAnimationFrame.bind(window);
  const own = window.requestAnimationFrame;
  let asked = 0;
  const early = (draw) => {
    asked++;
    if (asked < MANY) return ask(draw);
    if (window.requestAnimationFrame === early) window.requestAnimationFrame = own;
    return setTimeout(() => ask(draw), SLOWLY_MS);
  };
  window.requestAnimationFrame = early;
})();
