// <form data-confirm="Stop shop?" data-confirm-text="…" data-confirm-yes="Stop" [data-confirm-danger]>: asks first.
// <button data-opens="ID">: opens <dialog id="ID">; a button with data-closes shuts the dialog that it is in.
// The listeners are on the document, so that parts which were refreshed need no new ones.

function ask(form, submitter) {
  const dialog = document.getElementById("confirm");
  const yes = dialog.querySelector("[data-confirm-yes]");
  dialog.querySelector("#confirm-title").textContent = form.dataset.confirm;
  dialog.querySelector("[data-confirm-text]").textContent = form.dataset.confirmText ?? "";
  yes.textContent = form.dataset.confirmYes ?? "Go on";
  yes.classList.toggle("danger", "confirmDanger" in form.dataset);
  yes.classList.toggle("solid", "confirmDanger" in form.dataset);
  dialog.returnValue = "";
  dialog.addEventListener(
    "close",
    () => {
      if (dialog.returnValue !== "yes") return;
      form.dataset.confirmed = "";
      if (form.isConnected) form.requestSubmit(submitter?.isConnected ? submitter : undefined);
      else document.body.append(form), form.requestSubmit(); // the part was refreshed meanwhile
    },
    { once: true },
  );
  dialog.showModal();
}

export function startDialogs() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!("confirm" in form.dataset)) return;
    if ("confirmed" in form.dataset) {
      delete form.dataset.confirmed;
      return;
    }
    event.preventDefault();
    ask(form, event.submitter);
  });
  document.addEventListener("click", (event) => {
    const opener = event.target.closest?.("[data-opens]");
    if (opener) document.getElementById(opener.dataset.opens)?.showModal();
    if (event.target.closest?.("[data-closes]")) event.target.closest("dialog")?.close();
    if (event.target instanceof HTMLDialogElement) event.target.close(); // a click on the backdrop
  });
}
