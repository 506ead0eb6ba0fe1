// One log on a page: the window of rows, the tools above it, and what keyboard and address can do.
import { Connection, ending } from "./connection.js";
import { plainText } from "./row.js";
import { Search } from "./search.js";
import { LineStore } from "./store.js";
import { LineWindow } from "./window.js";

const MOST_COPIED = 5000;
const SEARCH_PAUSE = 250;

export class Viewer {
  constructor(element) {
    this.element = element;
    this.url = element.dataset.logViewer; // /streams/<id>/
    this.alone = location.pathname === this.url;
    this.selected = null;
    this.unseen = 0;
    this.find = (name) => element.querySelector(`[data-log-${name}]`);
    this.scroller = this.find("scroller");
    this.store = new LineStore(this.url, () => this.#changed());
    this.search = new Search(this.url);
    this.window = new LineWindow(this.scroller, this.store, () => ({
      permalink: this.alone ? "" : this.url,
      query: this.search.query,
      selected: this.selected,
    }));
    this.connection = new Connection(this.url, this.store, {
      onLines: (count) => this.#arrived(count),
      onStatus: (state, words) => this.#status(state, words),
    });
  }

  async start() {
    this.#listen();
    const line = this.#lineOfAddress();
    if (line === null) this.#follow(true);
    try {
      await this.store.load(-500, 500);
    } catch (error) {
      this.#status(ending(error) ? "refused" : "waiting", ending(error) ?? "The log cannot be read. Trying again …");
      if (!ending(error)) this.again = setTimeout(() => this.start(), 3000);
      return;
    }
    if (line !== null) this.#goTo(line);
    this.connection.start();
  }

  stop() {
    clearTimeout(this.again);
    this.connection.stop();
  }

  #listen() {
    if (this.listening) return;
    this.listening = true;
    this.window.onScroll = (upwards) => {
      // At the end it also moves up by itself, when the frame grows.
      if (this.window.isAtEnd()) this.#follow(true);
      else if (upwards) this.#follow(false);
    };
    this.find("follow").addEventListener("click", () => this.#follow(!this.window.following));
    this.find("unseen").addEventListener("click", () => this.#follow(true));
    this.find("wrap").addEventListener("click", (event) => this.#toggle(event.currentTarget, "is-wrapped"));
    this.find("times").addEventListener("click", (event) => this.#toggle(event.currentTarget, "has-times"));
    this.find("copy").addEventListener("click", () => this.#copy());
    this.find("next").addEventListener("click", () => this.#step(1));
    this.find("previous").addEventListener("click", () => this.#step(-1));
    const input = this.find("search");
    input.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.#ask(input.value), SEARCH_PAUSE);
    });
    input.addEventListener("keydown", (event) => this.#searchKey(event));
    this.element.addEventListener("keydown", (event) => this.#key(event));
    if (this.alone) addEventListener("hashchange", () => this.#goTo(this.#lineOfAddress()));
  }

  #changed() {
    this.find("empty").hidden = this.store.total > 0;
    this.window.draw();
  }

  #arrived(count) {
    if (!this.window.following && count > 0) {
      this.unseen += count;
      const button = this.find("unseen");
      button.hidden = false;
      button.textContent = `${this.unseen.toLocaleString("en-GB")} new ${this.unseen === 1 ? "line" : "lines"} ↓`;
    }
    this.#changed();
  }

  #status(state, words) {
    const status = this.find("status");
    if (status.dataset.state === state && status.textContent === words) return;
    status.dataset.state = state;
    status.textContent = words;
  }

  #follow(on) {
    this.window.following = on;
    this.find("follow").setAttribute("aria-pressed", on);
    if (!on) return;
    this.unseen = 0;
    this.find("unseen").hidden = true;
    this.window.draw();
  }

  #toggle(button, name) {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", on);
    this.scroller.classList.toggle(name, on);
    this.window.layoutChanged();
  }

  #lineOfAddress() {
    const match = /^#L(\d{1,12})$/.exec(this.alone ? location.hash : "");
    return match ? Math.max(0, Number(match[1]) - 1) : null;
  }

  #goTo(line) {
    if (line === null) return;
    this.#follow(false);
    this.selected = Math.min(line, Math.max(0, this.store.total - 1));
    this.window.show(this.selected);
  }

  async #ask(query) {
    try {
      await this.search.ask(query);
      this.find("found").textContent = this.search.describe();
      if (query && this.search.lines.length && this.search.index < 0) await this.#step(1);
    } catch {
      this.find("found").textContent = "The search failed";
    }
    this.window.draw();
  }

  async #step(step) {
    if (this.find("search").value !== this.search.query) {
      clearTimeout(this.typing);
      await this.#ask(this.find("search").value);
      return;
    }
    const line = await this.search.go(step, this.window.firstLine()).catch(() => null);
    this.find("found").textContent = this.search.describe();
    if (line !== null) this.#goTo(line);
  }

  #searchKey(event) {
    if (event.key === "Enter") {
      event.preventDefault();
      this.#step(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      event.currentTarget.value = "";
      this.#ask("");
      this.scroller.focus();
    }
    event.stopPropagation();
  }

  // Arrow and page keys scroll by themselves; these are the ones that a browser does not bring.
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      "/": () => this.find("search").focus(),
      n: () => this.#step(1),
      N: () => this.#step(-1),
      f: () => this.#follow(!this.window.following),
      w: () => this.find("wrap").click(),
      t: () => this.find("times").click(),
      End: () => this.#follow(true),
      Home: () => {
        this.#follow(false);
        this.window.show(0, "start");
      },
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }

  async #copy() {
    const selection = getSelection();
    const own = selection && !selection.isCollapsed && this.scroller.contains(selection.anchorNode);
    const text = own ? selection.toString() : await this.#lastLines();
    const count = text.replace(/\n$/, "").split("\n").length;
    const done = await copyText(text);
    this.find("found").textContent = done
      ? `${count.toLocaleString("en-GB")} ${count === 1 ? "line" : "lines"} copied`
      : "Copying is not allowed here: use Download";
  }

  async #lastLines() {
    try {
      const range = await this.store.load(-MOST_COPIED, MOST_COPIED);
      return plainText(range.pieces.map((piece) => piece.text).join(""));
    } catch {
      return "";
    }
  }
}

async function copyText(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Refused, or the page has no focus: the old way may still work.
    }
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "log-copy-area";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
