// <form data-uploads="/api/uploads">: a large file in it goes ahead in pieces, which is neither cut short by what stands in
// between nor lost with one connection; then the form is sent with the token that it got, in its field "uploaded".

const LARGE = 8 * 1024 * 1024; // what is smaller goes with the form itself
const TRIES = 5;

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function ask(form, method, path, body, type = "application/json") {
  const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
  const headers = { "X-CSRFToken": token, "Content-Type": type };
  const answer = await fetch(form.dataset.uploads + path, { method, headers, body, credentials: "same-origin" });
  const said = await answer.json().catch(() => ({ message: `The server answered ${answer.status}.`, hint: "" }));
  if (!answer.ok) throw Object.assign(new Error(`${said.message} ${said.hint}`.trim()), { answered: true });
  return said;
}

// A piece whose answer was lost may have been stored: the server then says where it goes on, and refuses it by its place.
async function put(form, token, file, at, size) {
  const piece = file.slice(at, at + size);
  for (let tries = 1; ; tries += 1) {
    try {
      return (await ask(form, "PUT", `/${token}?at=${at}`, piece, "application/octet-stream")).size_bytes;
    } catch (error) {
      if (error.answered) {
        const there = /^(\d+) bytes are here/.exec(error.message);
        if (there && Number(there[1]) === at + piece.size) return at + piece.size;
      }
      if (error.answered || tries === TRIES) throw error;
      await wait(1000 * tries);
    }
  }
}

async function send(form, input, show) {
  const [file] = input.files;
  const begun = await ask(form, "POST", "", "{}");
  for (let at = 0; at < file.size; ) {
    show(at / file.size);
    at = await put(form, begun.token, file, at, begun.piece_bytes);
  }
  show(1);
  await ask(form, "POST", `/${begun.token}`, JSON.stringify({ name: file.name }));
  form.elements.uploaded.value = begun.token;
  form.elements.uploaded_name.value = file.name;
  input.value = "";
  form.submit();
}

async function upload(form, input) {
  const place = form.querySelector("[data-upload-state]");
  const buttons = form.querySelectorAll("button");
  const meter = document.createElement("progress");
  meter.className = "meter tone-blue";
  meter.setAttribute("aria-label", "Uploaded");
  const words = document.createElement("span");
  place.replaceChildren(meter, words);
  place.hidden = false;
  for (const button of buttons) button.disabled = true;
  try {
    await send(form, input, (part) => {
      meter.value = part;
      words.textContent = ` ${Math.floor(100 * part)} %`;
    });
  } catch (error) {
    place.replaceChildren(error.message);
    for (const button of buttons) button.disabled = false;
  }
}

export function startUploads() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const input = form.dataset.uploads && form.querySelector("input[type=file]");
    if (!input || !input.files.length || input.files[0].size < Number(form.dataset.uploadsFrom ?? LARGE)) return;
    event.preventDefault();
    upload(form, input);
  });
}
