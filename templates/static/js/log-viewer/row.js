// One line as an element: its number, its time, its text with colours and with what was searched for marked.
import { AnsiUp } from "../../vendor/ansi_up-6.0.6.js";

// ansi_up writes HTML with style attributes, which the page's Content-Security-Policy refuses. Its parser is used,
// and what it found is made into elements here.
class Fragments extends AnsiUp {
  parse(text) {
    this.found = [];
    this.ansi_to_html(text.includes("\x1b") ? `${text}\x1b[0m` : text);
    return this.found;
  }

  transform_to_html(fragment) {
    this.found.push(fragment);
    return "";
  }

  process_hyperlink(packet) {
    this.found.push(this.with_state(packet));
    return "";
  }
}

const time = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 1,
});
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });

export function rowElement(line, entry, { permalink, query, rows, selected }) {
  const row = document.createElement("div");
  row.className = "log-row";
  row.setAttribute("role", "listitem");
  row.setAttribute("aria-setsize", rows);
  row.setAttribute("aria-posinset", line + 1);
  row.dataset.line = line;
  if (line === selected) row.setAttribute("aria-current", "true");
  const number = document.createElement("a");
  number.className = "log-number";
  number.href = `${permalink}#L${line + 1}`;
  number.dataset.number = line + 1; // shown by the style sheet, so that it is not copied with the text
  number.setAttribute("aria-label", `Line ${line + 1}`);
  number.tabIndex = -1;
  const text = document.createElement("span");
  text.className = "log-text";
  if (entry) {
    const stamp = document.createElement("time");
    stamp.className = "log-time";
    stamp.dateTime = new Date(entry.at).toISOString();
    stamp.title = day.format(entry.at);
    stamp.dataset.time = time.format(entry.at);
    row.append(number, stamp, text);
    text.append(...spans(entry.text));
    if (query) mark(text, query.toLowerCase());
  } else {
    row.classList.add("is-loading");
    row.append(number, text);
    text.textContent = "…";
  }
  return row;
}

export function cutElement(lineCount) {
  const row = document.createElement("div");
  row.className = "log-row is-cut";
  row.setAttribute("role", "listitem");
  row.textContent = `${lineCount.toLocaleString("en-GB")} lines were cut out here: the log had outgrown its limit.`;
  return row;
}

export function plainText(text) {
  return text.includes("\x1b") ? new Fragments().parse(text).map((part) => part.text).join("") : text;
}

function spans(text) {
  if (!text.includes("\x1b")) return [document.createTextNode(text)];
  return new Fragments().parse(text).map((part) => {
    const span = document.createElement("span");
    span.textContent = part.text;
    for (const style of ["bold", "faint", "italic", "underline"]) if (part[style]) span.classList.add(`ansi-${style}`);
    paint(span, part.fg, "fg", "color");
    paint(span, part.bg, "bg", "backgroundColor");
    return span;
  });
}

function paint(span, colour, where, property) {
  if (!colour) return;
  // The sixteen named colours suit themselves to the theme; the others are as the application chose them.
  if (colour.class_name !== "truecolor") span.classList.add(`${colour.class_name}-${where}`);
  else span.style[property] = `rgb(${colour.rgb.join(",")})`;
}

// Marks each occurrence, also where it runs across differently coloured parts.
function mark(element, query) {
  const whole = element.textContent.toLowerCase();
  const ranges = [];
  for (let at = whole.indexOf(query); at >= 0; at = whole.indexOf(query, at + query.length)) {
    ranges.push([at, at + query.length]);
  }
  if (!ranges.length) return;
  let position = 0;
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  for (const node of nodes) {
    const start = position;
    position += node.data.length;
    const inside = ranges.filter(([from, to]) => from < position && to > start);
    let rest = node;
    let offset = start;
    for (const [from, to] of inside) {
      const begin = Math.max(from, start) - offset;
      if (begin > 0) {
        rest = rest.splitText(begin);
        offset += begin;
      }
      const length = Math.min(to, position) - offset;
      const after = length < rest.data.length ? rest.splitText(length) : null;
      const highlight = document.createElement("mark");
      rest.replaceWith(highlight);
      highlight.append(rest);
      offset += length;
      if (!after) break;
      rest = after;
    }
  }
}
