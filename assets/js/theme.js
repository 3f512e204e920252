// Tells when light turns to dark, and when the screen has other pixels than before.

/** Until the element is gone from the page, calls `themed` for the one and `resized` for the other. */
export function watchTheme(element, themed, resized) {
  const observer = new MutationObserver(() => {
    if (element.isConnected) themed();
    else observer.disconnect();
  });
  for (const node of [document.documentElement, document.body]) {
    observer.observe(node, { attributes: true, attributeFilter: ["class", "style"] });
  }
  const watchRatio = () => matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`)
    .addEventListener("change", () => {
      if (!element.isConnected) return;
      resized();
      watchRatio();
    }, { once: true });
  watchRatio();
}
