// Parts that refresh: <… id="x" data-live="deployment:7 task" hx-get="…" hx-trigger="live">.
// An event {topic, id} from /ws/events/ refreshes the parts that name "topic" or "topic:id". While there is no
// websocket, every part is refreshed by polling; with one, now and then, since events may be lost.

const POLL_WITHOUT_SOCKET = 4000;
const LOOK_ANYWAY = 15000;
const GATHER = 150; // events come in bursts: one refresh for all of a burst

const waiting = new Set();
let timer = 0;
let socket = null;
let attempts = 0;
let lastLook = Date.now();
const lookedAt = new Map(); // id of a part -> when it was asked for

function refresh(parts) {
  if (gone) return;
  for (const part of parts) waiting.add(part.id);
  if (waiting.size) timer ||= setTimeout(flush, GATHER);
}

function flush() {
  timer = 0;
  if (gone) return;
  const ids = [...waiting];
  waiting.clear();
  for (const id of ids) {
    const part = document.getElementById(id);
    if (!part) continue;
    if (part.classList.contains("htmx-request")) waiting.add(id); // after the one that is on its way
    else if (document.visibilityState === "visible") {
      lookedAt.set(id, Date.now());
      htmx.trigger(part, "live");
    }
  }
  if (waiting.size) timer = setTimeout(flush, GATHER);
}

function all() {
  return document.querySelectorAll("[data-live]");
}

function onEvent({ topic, id }) {
  refresh([...all()].filter((part) => part.dataset.live.split(" ").some((t) => t === topic || t === `${topic}:${id}`)));
}

function say(state) {
  const sign = document.getElementById("connection");
  if (!sign) return;
  sign.hidden = false;
  sign.dataset.state = state;
  sign.firstElementChild.textContent = state === "live" ? "Live" : "Refreshing every few seconds";
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/ws/events/`);
  socket.addEventListener("open", () => {
    refresh(all()); // what happened since the page was made, or while we were away
    attempts = 0;
    say("live");
  });
  socket.addEventListener("message", (message) => onEvent(JSON.parse(message.data)));
  socket.addEventListener("close", () => {
    attempts += 1;
    say("polling");
    setTimeout(connect, Math.min(1000 * 2 ** Math.min(attempts, 5), 20000) * (0.7 + 0.6 * Math.random()));
  });
}

// A part that did not change is left as it is, so that nothing flickers, loses its focus or its selection.
const last = new Map();
const VARYING = /name="csrfmiddlewaretoken" value="[^"]*"|<time[^>]*>[^<]*<\/time>/g;

function keepUnchanged(event) {
  const { target, serverResponse, xhr } = event.detail;
  if (!target?.dataset || !("live" in target.dataset) || xhr.status !== 200) return;
  const { version } = target.dataset; // a part with something that must go on running, such as a log
  if (version && serverResponse.includes(`data-version="${version}"`)) {
    event.detail.shouldSwap = false;
    return;
  }
  const text = serverResponse.replace(VARYING, (found) => (found.startsWith("<time") ? found.replace(/>[^<]*</, "><") : ""));
  if (last.get(target.id) === text) event.detail.shouldSwap = false;
  last.set(target.id, text);
}

// What somebody has unfolded, or folded, stays so in the part that takes the place of the old one.
function keepFolds(event) {
  const { target, shouldSwap } = event.detail;
  if (!shouldSwap || !target?.dataset || !("live" in target.dataset)) return;
  const folds = [...target.querySelectorAll("details[id]")].map((each) => [each.id, each.open]);
  if (folds.length === 0) return;
  const unfold = () => {
    for (const [id, open] of folds) {
      const each = document.getElementById(id);
      if (each) each.open = open;
    }
  };
  document.addEventListener("htmx:afterSwap", unfold, { once: true });
}

// data-every="5": what changes without an event (figures of the host) is asked for every 5 seconds.
function isDue(part) {
  const every = Number(part.dataset.every) * 1000;
  if (!every) return false;
  if (!lookedAt.has(part.id)) lookedAt.set(part.id, Date.now());
  return Date.now() - lookedAt.get(part.id) >= every;
}

// What the page shows was deleted meanwhile: that is said once, and nothing is asked for any more.
let gone = false;

function sayGone(event) {
  if (gone || event.detail.xhr.status !== 404 || !event.detail.target?.matches?.("[data-live]")) return;
  gone = true;
  htmx.trigger("#sidebar-deployments", "live");
  const notice = document.createElement("div");
  notice.className = "notice warning";
  const list = location.pathname.startsWith("/databases") ? "databases" : "deployments";
  notice.innerHTML = `<p class="grow">What this page shows has been deleted.</p><a class="button small" href="/${list}">All ${list}</a>`;
  document.querySelector(".messages")?.append(notice);
  notice.scrollIntoView({ block: "nearest" });
}

export function startLive() {
  if (!document.querySelector("[data-live]")) return;
  document.addEventListener("htmx:responseError", sayGone);
  document.addEventListener("htmx:beforeSwap", keepUnchanged);
  document.addEventListener("htmx:beforeSwap", keepFolds);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") refresh(all());
  });
  setInterval(() => {
    const pause = socket?.readyState === WebSocket.OPEN ? LOOK_ANYWAY : POLL_WITHOUT_SOCKET;
    const due = Date.now() - lastLook >= pause;
    if (due) lastLook = Date.now();
    refresh([...all()].filter((part) => due || isDue(part)));
  }, 1000);
  connect();
}
