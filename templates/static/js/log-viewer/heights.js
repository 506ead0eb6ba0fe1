// Where each row stands. Rows are one line high until they were seen to wrap; then what they take beyond that is kept.

const GROUP = 500;

export class Heights {
  constructor(rowHeight) {
    this.rowHeight = rowHeight;
    this.clear();
  }

  clear() {
    this.extra = new Map(); // row -> pixels beyond one line
    this.groups = []; // the same, summed per GROUP rows
  }

  set(row, height) {
    const extra = Math.max(0, height - this.rowHeight);
    const change = extra - (this.extra.get(row) ?? 0);
    if (Math.abs(change) < 0.5) return false;
    this.extra.set(row, extra);
    const group = Math.floor(row / GROUP);
    this.groups[group] = (this.groups[group] ?? 0) + change;
    return true;
  }

  topOf(row) {
    const group = Math.floor(row / GROUP);
    let top = row * this.rowHeight;
    for (let index = 0; index < Math.min(group, this.groups.length); index++) top += this.groups[index] ?? 0;
    if (this.groups[group]) for (let index = group * GROUP; index < row; index++) top += this.extra.get(index) ?? 0;
    return top;
  }

  // The row that covers the height `y`.
  rowAt(y, rows) {
    let top = 0;
    let group = 0;
    if (this.extra.size) {
      for (; (group + 1) * GROUP <= rows; group++) {
        const height = GROUP * this.rowHeight + (this.groups[group] ?? 0);
        if (top + height > y) break;
        top += height;
      }
    }
    if (!this.groups[group] && !this.extra.size) return clamp(Math.floor(y / this.rowHeight), rows);
    let row = group * GROUP;
    for (; row < rows - 1; row++) {
      const height = this.rowHeight + (this.extra.get(row) ?? 0);
      if (top + height > y) break;
      top += height;
    }
    return clamp(row, rows);
  }
}

function clamp(row, rows) {
  return Math.max(0, Math.min(row, rows - 1));
}
