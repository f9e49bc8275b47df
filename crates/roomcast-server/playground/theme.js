// @ts-check
/** Light or dark: the system's choice until the button says otherwise, which is then remembered. */

const KEY = "roomcast.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = localStorage.getItem(KEY);
  return chosen ? chosen === "dark" : system.matches;
}

function show() {
  const chosen = localStorage.getItem(KEY);
  if (chosen) document.documentElement.dataset.theme = chosen;
  document.getElementById("theme")?.setAttribute("aria-pressed", String(isDark()));
}

function toggle() {
  localStorage.setItem(KEY, isDark() ? "light" : "dark");
  show();
}

show();
system.addEventListener("change", show);
document.getElementById("theme")?.addEventListener("click", toggle);
