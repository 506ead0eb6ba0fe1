// Starts every log viewer on the page, and those that htmx brings later.
import { Viewer } from "./viewer.js";

const started = new WeakSet();

function startAll() {
  for (const element of document.querySelectorAll("[data-log-viewer]")) {
    if (started.has(element)) continue;
    started.add(element);
    new Viewer(element).start();
  }
}

startAll();
document.addEventListener("htmx:load", startAll);
