// Before the first paint, and so no module: the chosen theme, so that the page does not flash in the other one.
(() => {
  try {
    const theme = localStorage.getItem("bakery-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // A browser that keeps nothing for us follows the system.
  }
})();
