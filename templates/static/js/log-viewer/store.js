// The lines that are in memory: blocks of 500, fetched when they are looked at, the least recently used one let go.
// A log of 300,000 lines takes no more memory here than one of 30,000.

const BLOCK = 500;
const MOST_BLOCKS = 60;

export class LineStore {
  constructor(url, changed) {
    this.url = url;
    this.changed = changed; // called when lines or counts have changed
    this.total = 0;
    this.lastSeq = 0;
    this.ended = false;
    this.cut = null; // {first_line, line_count}: what is no longer stored
    this.blocks = new Map(); // in the order of use
    this.fetching = new Set();
  }

  // The cut-out middle is one row that says so; rows after it are shifted.
  get rows() {
    return this.cut ? this.total - this.cut.line_count + 1 : this.total;
  }

  lineOf(row) {
    if (!this.cut || row < this.cut.first_line) return row;
    return row === this.cut.first_line ? -1 : row + this.cut.line_count - 1;
  }

  rowOf(line) {
    if (!this.cut || line < this.cut.first_line) return line;
    const end = this.cut.first_line + this.cut.line_count;
    return line < end ? this.cut.first_line : line - this.cut.line_count + 1;
  }

  // {text, at} of a line; undefined while it is being fetched.
  get(line) {
    const number = Math.floor(line / BLOCK);
    const block = this.blocks.get(number);
    const found = block?.[line % BLOCK];
    if (block) {
      this.blocks.delete(number);
      this.blocks.set(number, block);
    }
    if (!found) this.#fetch(number);
    return found;
  }

  put(piece) {
    const at = Date.parse(piece.at);
    const lines = piece.text.split("\n");
    for (let index = 0; index < piece.line_count; index++) {
      const line = piece.first_line + index;
      this.#block(Math.floor(line / BLOCK))[line % BLOCK] = { text: lines[index], at };
    }
    this.total = Math.max(this.total, piece.first_line + piece.line_count);
  }

  // What the server says of a range; throws when it does not answer.
  async load(from, count) {
    const response = await fetch(`${this.url}lines?from=${from}&count=${count}`, {
      headers: { Accept: "application/json" },
      redirect: "manual", // it would be to the sign-in page
    });
    if (response.type === "opaqueredirect") throw Object.assign(new Error("signed out"), { status: 403 });
    if (!response.ok) throw Object.assign(new Error(response.statusText), { status: response.status });
    const range = await response.json();
    this.cut = range.cut;
    this.total = Math.max(this.total, range.total);
    this.lastSeq = Math.max(this.lastSeq, range.last_seq);
    this.ended = range.ended;
    for (const piece of range.pieces) this.put(piece);
    this.changed();
    return range;
  }

  #block(number) {
    let block = this.blocks.get(number);
    if (!block) {
      block = new Array(BLOCK);
      this.blocks.set(number, block);
      if (this.blocks.size > MOST_BLOCKS) this.blocks.delete(this.blocks.keys().next().value);
    }
    return block;
  }

  async #fetch(number) {
    if (this.fetching.has(number) || number * BLOCK >= this.total) return;
    this.fetching.add(number);
    try {
      await this.load(number * BLOCK, BLOCK);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 1000)); // the connection's status says what is wrong
      this.changed();
    } finally {
      this.fetching.delete(number);
    }
  }
}
