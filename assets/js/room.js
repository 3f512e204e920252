// How much room the instrument has, as a word that the style sheet goes by: beside settings it has
// less than the window. (Container queries would say it, but Gradio leaves them out of style sheets.)

const ROOMS = [["phone", 600], ["narrow", 860], ["middle", 1250], ["broad", 1650], ["wide", Infinity]];

export function watchRoom(element) {
  const say = (width) => {
    if (width) element.dataset.room = ROOMS.find(([, below]) => width < below)[0];
  };
  say(element.clientWidth);
  const resizing = new ResizeObserver(([entry]) => say(entry.contentRect.width));
  resizing.observe(element);
  return resizing;
}
