// Keeps “4 s ago” and running durations up to date. The words are those of bakery/templatetags/ui.py.

function agoInWords(seconds) {
  if (seconds < 2) return "just now";
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return `${Math.floor(seconds)} s ago`;
}

function aheadInWords(seconds) {
  if (seconds < 1) return "in a moment";
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `in ${Math.floor(seconds / size)} ${unit}`;
  }
  return `in ${Math.floor(seconds)} s`;
}

function inWords(seconds) {
  if (seconds < 10) return `${Math.max(seconds, 0).toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// A browser's clock may be wrong by hours; the server's time comes with each page.
const server = Number(document.querySelector("meta[name=server-time]")?.content) * 1000;
const skew = server ? server - Date.now() : 0;

function tick() {
  const now = Date.now() + skew;
  for (const time of document.querySelectorAll("time[data-ago], time[data-since], time[data-ahead]")) {
    const seconds = (now - Date.parse(time.dateTime)) / 1000;
    const words = "ago" in time.dataset ? agoInWords(seconds) : "ahead" in time.dataset ? aheadInWords(-seconds) : inWords(seconds);
    if (time.textContent !== words) time.textContent = words;
  }
}

export function startTimes() {
  setInterval(tick, 1000);
  document.addEventListener("htmx:afterSettle", tick);
}
