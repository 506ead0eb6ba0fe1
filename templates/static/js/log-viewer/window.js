// The rows around the place that is looked at, of however many there are: about 200 elements.
import { cutElement, rowElement } from "./row.js";
import { Heights } from "./heights.js";

const MOST_ROWS = 200;
const TALLEST = 12_000_000; // browsers stop at 17 to 33 million pixels: beyond this the scrollbar is scaled

export class LineWindow {
  constructor(scroller, store, options) {
    this.scroller = scroller;
    this.store = store;
    this.options = options; // () => {permalink, query, selected}
    this.space = scroller.querySelector("[data-log-space]");
    this.content = scroller.querySelector("[data-log-rows]");
    this.heights = new Heights(this.#rowHeight());
    this.following = false;
    this.onScroll = () => {};
    this.pending = false;
    this.width = scroller.clientWidth;
    scroller.addEventListener("scroll", () => {
      this.#noteScroll();
      this.draw();
    });
    new ResizeObserver(() => this.#resized()).observe(scroller);
  }

  // Draw soon, once, however often it is asked.
  draw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.#draw();
    });
  }

  layoutChanged() {
    const line = this.firstLine();
    this.heights = new Heights(this.#rowHeight());
    this.#size();
    if (!this.following) this.show(line, "start");
    this.draw();
  }

  // The line at the top of what is seen.
  firstLine() {
    return Math.max(0, this.store.lineOf(this.heights.rowAt(this.#y(), this.store.rows)));
  }

  show(line, where = "center") {
    this.#size();
    const top = this.heights.topOf(this.store.rowOf(line));
    const above = where === "center" ? (this.scroller.clientHeight - this.heights.rowHeight) / 2 : 0;
    this.#scrollTo(Math.max(0, top - above));
    this.draw();
  }

  isAtEnd() {
    return this.scroller.scrollTop + this.scroller.clientHeight >= this.scroller.scrollHeight - this.heights.rowHeight;
  }

  #rowHeight() {
    return parseFloat(getComputedStyle(this.content).lineHeight) || 20;
  }

  #total() {
    return this.heights.topOf(this.store.rows);
  }

  #scale() {
    const room = this.scroller.clientHeight;
    const total = this.#total();
    return total > TALLEST ? (total - room) / (TALLEST - room) : 1;
  }

  #y() {
    return this.scroller.scrollTop * this.#scale();
  }

  #scrollTo(y) {
    this.scroller.scrollTop = Math.round(y / this.#scale());
    this.lastTop = this.scroller.scrollTop;
  }

  #size() {
    this.space.style.height = `${Math.min(TALLEST, this.#total())}px`;
  }

  #noteScroll() {
    const top = this.scroller.scrollTop;
    if (top === this.lastTop) return;
    const upwards = top < this.lastTop;
    this.lastTop = top;
    this.onScroll(upwards);
  }

  #resized() {
    if (this.scroller.clientWidth !== this.width) {
      this.width = this.scroller.clientWidth;
      this.layoutChanged();
    } else {
      this.draw();
    }
  }

  #draw() {
    this.#size();
    if (this.following) this.#scrollTo(this.#total());
    const rows = this.store.rows;
    const y = this.#y();
    const top = this.heights.rowAt(y, rows);
    const visible = Math.ceil(this.scroller.clientHeight / this.heights.rowHeight) + 1;
    const spare = Math.max(10, Math.floor((MOST_ROWS - visible) / 2));
    const first = Math.max(0, top - spare);
    const last = Math.min(rows, top + visible + spare);
    this.#render(first, last);
    if (this.#measure(first)) {
      // Rows above turned out to be taller: what is looked at stays where it is.
      const within = y - this.heights.topOf(top);
      this.#size();
      this.#scrollTo(this.following ? this.#total() : this.heights.topOf(top) + Math.max(0, within));
    }
    const shift = this.scroller.scrollTop - this.#y(); // 0 unless the scrollbar is scaled
    this.content.style.transform = `translateY(${this.heights.topOf(first) + shift}px)`;
  }

  #render(first, last) {
    const options = { ...this.options(), rows: this.store.total };
    const style = `${options.query}|${options.selected}`;
    const kept = new Map();
    for (const element of this.content.children) {
      if (element.drawn && element.drawnAs === style) kept.set(element.row, element);
    }
    const elements = [];
    for (let row = first; row < last; row++) {
      const line = this.store.lineOf(row);
      const entry = line < 0 ? this.store.cut : this.store.get(line);
      let element = kept.get(row);
      if (!element || element.entry !== entry) {
        element = line < 0 ? cutElement(entry.line_count) : rowElement(line, entry, options);
        Object.assign(element, { row, entry, drawnAs: style, drawn: Boolean(entry) });
      }
      elements.push(element);
    }
    this.#replace(elements);
  }

  // What stays is not touched, so that a selection of text outlives new lines.
  #replace(elements) {
    const staying = new Set(elements);
    for (const element of [...this.content.children]) if (!staying.has(element)) element.remove();
    let place = this.content.firstChild;
    for (const element of elements) {
      if (element === place) place = place.nextSibling;
      else this.content.insertBefore(element, place);
    }
  }

  #measure(first) {
    if (!this.scroller.classList.contains("is-wrapped")) return false;
    let changed = false;
    let row = first;
    for (const element of this.content.children) changed = this.heights.set(row++, element.offsetHeight) || changed;
    return changed;
  }
}
