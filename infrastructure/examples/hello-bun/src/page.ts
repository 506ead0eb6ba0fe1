import type { Note } from "./notes";

const escape = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

export function page(greeting: string, notes: Note[], seconds: number): string {
  const items = notes
    .map((note) => `<li><p>${escape(note.text)}</p><time>${note.at.slice(0, 16).replace("T", " ")} UTC</time></li>`)
    .join("");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(greeting)}</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<main>
  <header>
    <span class="loaf" aria-hidden="true">🥖</span>
    <h1>${escape(greeting)}</h1>
    <p>This page is a Bun application. Bakery built it from a git repository and keeps it running.</p>
  </header>
  <form method="post" action="/notes">
    <label for="text">Leave a note</label>
    <div class="row"><input id="text" name="text" maxlength="200" required autocomplete="off"
      placeholder="Fresh out of the oven"><button>Pin it</button></div>
  </form>
  <ul class="notes">${items || '<li class="empty"><p>No notes yet. Yours is the first.</p></li>'}</ul>
  <footer>Up for ${seconds} s · process ${process.pid} · Bun ${Bun.version} · port ${process.env.PORT ?? "3000"}</footer>
</main>
</body>
</html>`;
}
