// Sidebar on narrow screens, menus, notices, the mark at the current deployment.

function toggleSidebar(open) {
  const sidebar = document.getElementById("sidebar");
  if (!sidebar) return;
  sidebar.toggleAttribute("data-open", open);
  document.querySelector("[data-sidebar-backdrop]").toggleAttribute("data-open", open);
  document.querySelector("[data-sidebar-toggle]").setAttribute("aria-expanded", String(open));
  if (open) sidebar.querySelector("a").focus();
}

export function markCurrent() {
  for (const link of document.querySelectorAll("#sidebar-deployments a")) {
    const path = new URL(link.href).pathname;
    const here = location.pathname === path || location.pathname.startsWith(`${path}/`);
    if (here && /\/\d+$/.test(path)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

export function startNavigation() {
  markCurrent();
  const tabs = document.querySelector(".tabs");
  const tab = tabs?.querySelector("[aria-current]");
  if (tab) tabs.scrollLeft = tab.offsetLeft - tabs.offsetLeft - 24; // on a phone the last ones are out of sight
  document.addEventListener("htmx:afterSettle", markCurrent);
  document.addEventListener("click", (event) => {
    const target = event.target;
    if (target.closest("[data-sidebar-toggle]")) toggleSidebar(!document.querySelector("#sidebar[data-open]"));
    else if (target.closest("[data-sidebar-backdrop]")) toggleSidebar(false);
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(target)) menu.open = false;
    }
    target.closest("[data-dismiss]")?.closest("[data-notice]").remove();
  });
  document.addEventListener("change", (event) => {
    if ("submits" in event.target.dataset) event.target.form.requestSubmit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (document.querySelector("#sidebar[data-open]")) {
      toggleSidebar(false);
      document.querySelector("[data-sidebar-toggle]").focus();
    }
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
}
