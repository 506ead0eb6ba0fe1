// <button data-copy="ID">: puts the text of that element, or the value of that field, on the clipboard. What became of
// it is shown on the button for two seconds, and said to screen readers by the page's #announcer.

const SHOWN = 2000;

function announce(words) {
  const place = document.getElementById("announcer");
  if (!place) return;
  place.textContent = "";
  setTimeout(() => (place.textContent = words), 50); // the same words twice are said twice
}

// Browsers have no navigator.clipboard on pages that came over plain HTTP; there the selection is copied.
async function put(source) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    return true;
  }
  if (source.select) source.select();
  else getSelection().selectAllChildren(source);
  return document.execCommand("copy");
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const copied = await put(source).catch(() => false);
  if (!copied) getSelection().selectAllChildren(source); // marked, ready for Ctrl-C
  const words = copied ? "Copied" : "Press Ctrl-C";
  const label = button.querySelector("[data-copy-label]:not(.sr-only)");
  button.dataset.copied = copied ? "yes" : "no";
  if (label) {
    button.dataset.before ??= label.textContent;
    label.textContent = words;
  }
  announce(copied ? `Copied ${(source.value ?? source.textContent).slice(0, 100)}` : "It is selected: press Control C");
  setTimeout(() => {
    delete button.dataset.copied;
    if (label) label.textContent = button.dataset.before;
  }, SHOWN);
}

export function startCopying() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (button) copy(button);
  });
}
