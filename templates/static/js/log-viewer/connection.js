// Brings what is new: over a websocket that resumes where it broke off, or by asking every 2 s where there is none.

const FIRST_RETRY = 500;
const LONGEST_RETRY = 10_000;
const SILENCE = 30_000; // the server sends something every 10 s; after so long the connection is dead
const POLL = 2000;
const LOOK_AGAIN = 15_000; // whether a log that had ended goes on
const FAILURES_BEFORE_POLLING = 2;
const ENDINGS = {
  4403: "You may not read this log any more. Sign in again.",
  4404: "This log was deleted.",
};

// What to say of a refusal after which trying again is of no use; undefined: try again.
export function ending(error) {
  return { 403: ENDINGS[4403], 404: ENDINGS[4404] }[error.status];
}

export class Connection {
  constructor(url, store, { onLines, onStatus }) {
    this.url = url;
    this.store = store;
    this.onLines = onLines;
    this.onStatus = onStatus; // (state, words): live, waiting, polling, ended, refused
    this.failures = 0;
    this.timer = null;
  }

  start() {
    if (this.stopped) return;
    if (this.store.ended) this.#ended();
    else this.#open();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.socket?.close();
  }

  #open() {
    const address = new URL(`/ws${this.url}`, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.searchParams.set("after", this.store.lastSeq);
    let opened = false;
    let ended = false;
    const socket = new WebSocket(address);
    this.socket = socket;
    const watch = () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => socket.close(), SILENCE);
    };
    watch();
    socket.onopen = () => {
      opened = true;
      this.failures = 0;
      this.onStatus("live", "Live");
    };
    socket.onmessage = (event) => {
      watch();
      const frame = JSON.parse(event.data);
      if (frame.type === "chunk") {
        this.#take(frame);
        socket.send(JSON.stringify({ type: "ack", seq: frame.seq }));
      } else if (frame.type === "gap") {
        this.#refresh();
      } else if (frame.type === "end") {
        ended = true;
      }
    };
    socket.onclose = (event) => {
      clearTimeout(this.timer);
      if (this.stopped) return;
      if (ended) this.#ended();
      else if (ENDINGS[event.code]) this.onStatus("refused", ENDINGS[event.code]);
      else this.#retry(opened);
    };
  }

  #take(frame) {
    const before = this.store.total;
    this.store.put(frame);
    this.store.lastSeq = Math.max(this.store.lastSeq, frame.seq);
    this.store.ended = false;
    this.onLines(this.store.total - before);
  }

  #retry(opened) {
    if (!opened) this.failures += 1;
    if (this.failures >= FAILURES_BEFORE_POLLING) {
      this.#poll(0);
      return;
    }
    this.onStatus("waiting", "Connection lost. Connecting again …");
    const wait = Math.min(LONGEST_RETRY, FIRST_RETRY * 2 ** this.failures);
    this.timer = setTimeout(() => this.#open(), wait * (0.5 + Math.random() / 2));
  }

  // Without a websocket (a proxy that refuses them, say) the page asks; now and then it tries a websocket again.
  async #poll(times) {
    const answered = await this.#refresh();
    if (answered === null || this.stopped) return;
    this.onStatus("polling", answered ? "Refreshed every 2 s" : "Bakery does not answer. Trying again …");
    if (answered && this.store.ended) this.#ended();
    else if (times && times % 15 === 0) this.#open();
    else this.timer = setTimeout(() => this.#poll(times + 1), POLL);
  }

  // true: up to date; false: no answer; null: we are no longer let in, and trying again is of no use.
  async #refresh() {
    const before = this.store.total;
    try {
      await this.store.load(before, 5000);
    } catch (error) {
      if (!ending(error)) return false;
      this.onStatus("refused", ending(error));
      return null;
    }
    if (this.store.total > before) this.onLines(this.store.total - before);
    return true;
  }

  #ended() {
    this.store.ended = true;
    this.onStatus("ended", "The log has ended");
    this.timer = setTimeout(async () => {
      const answered = document.hidden ? false : await this.#refresh();
      if (answered === null || this.stopped) return;
      if (answered && !this.store.ended) this.#open();
      else this.#ended();
    }, LOOK_AGAIN);
  }
}
