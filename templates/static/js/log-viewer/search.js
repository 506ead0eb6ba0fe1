// Finds lines on the server: the page holds only a part of the log.

export class Search {
  constructor(url) {
    this.url = url;
    this.clear();
  }

  clear() {
    this.query = "";
    this.lines = [];
    this.more = false;
    this.next = 0;
    this.index = -1;
    this.asked = 0;
  }

  // Ask anew; false when another question came in between.
  async ask(query) {
    this.clear();
    this.query = query;
    return query ? this.#page(0) : true;
  }

  // The line to go to: the next one (step 1) or the one before (-1), around the ends.
  async go(step, fromLine) {
    if (this.index >= 0 && this.index + step >= this.lines.length) await this.#page(this.next); // it may have grown
    if (!this.lines.length) return null;
    if (this.index < 0) {
      const after = this.lines.findIndex((line) => line >= fromLine);
      const first = after < 0 ? 0 : after;
      this.index = step > 0 ? first : (first || this.lines.length) - 1;
    } else {
      this.index = (this.index + step + this.lines.length) % this.lines.length;
    }
    return this.lines[this.index];
  }

  describe() {
    if (!this.query) return "";
    if (!this.lines.length) return "Not found";
    const count = `${this.lines.length.toLocaleString("en-GB")}${this.more ? "+" : ""}`;
    return this.index < 0 ? `${count} lines` : `${(this.index + 1).toLocaleString("en-GB")} of ${count}`;
  }

  async #page(from) {
    const asked = ++this.asked;
    const query = this.query;
    const response = await fetch(`${this.url}search?q=${encodeURIComponent(query)}&from=${from}`, { redirect: "error" });
    if (!response.ok) throw new Error(response.statusText);
    const found = await response.json();
    if (asked !== this.asked || query !== this.query) return false;
    this.lines.push(...found.lines);
    this.more = found.more;
    this.next = found.next;
    return true;
  }
}
