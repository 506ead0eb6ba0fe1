// Starts every log viewer on the page, and those that htmx brings later; ends those that it takes away.
import { Viewer } from "./viewer.js";

const viewers = new Map();

function look() {
  for (const [element, viewer] of viewers) {
    if (element.isConnected) continue;
    viewer.stop();
    viewers.delete(element);
  }
  for (const element of document.querySelectorAll("[data-log-viewer]")) {
    if (viewers.has(element)) continue;
    const viewer = new Viewer(element);
    viewers.set(element, viewer);
    viewer.start();
  }
}

look();
document.addEventListener("htmx:load", look);
document.addEventListener("htmx:afterSettle", look);
