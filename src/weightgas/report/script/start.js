// The beginning: choose the look, draw, and the keys of the page.
const KEYS = [["arrows", "move through cells in a chart, the grid or the table"], ["Enter", "open the cell: all values, time series, command"], ["Escape", "close"], ["← →", "in the drawer: previous and next cell"],
  ["+ − 0", "in a chart: zoom in, out, back"], ["d", "light or dark"], ["s", "next system"], ["/", "filter the table"], ["c", "CSV of the table"], ["[ ]", "previous and next page of the table"], ["?", "these keys"]];

function look(theme) {
  root.dataset.theme = theme;
  at("theme").textContent = theme === "dark" ? "Light" : "Dark";
  for (const hook of page.hooks.look) hook();
}

function help() {
  const dialog = make("dialog", { "aria-labelledby": "keys-title", class: "help" }, make("h2", { id: "keys-title" }, "Keys"),
    make("dl", { class: "glossary" }, ...KEYS.flatMap(([key, text]) => [make("dt", {}, key), make("dd", {}, text)])), make("button", { type: "button", onclick: () => dialog.close() }, "Close"));
  dialog.addEventListener("close", () => { dialog.remove(); at("keys").focus(); });
  document.body.append(dialog);
  dialog.showModal();
}

function globalKeys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
  const action = { d: () => look(dark() ? "light" : "dark"), "/": () => at("filter").focus(), c: save, "[": () => at("before").click(), "]": () => at("after").click(), "?": help,
    s: () => { const count = page.data.systems.length; if (count > 1) { at("system").value = String((page.system + 1) % count); show((page.system + 1) % count); } } }[event.key];
  if (action && page.data.runs.length) { action(); event.preventDefault(); }
}

async function start() {
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  at("theme").addEventListener("click", () => look(dark() ? "light" : "dark"));
  at("theme").textContent = dark() ? "Light" : "Dark";
  scheme.addEventListener("change", () => look(scheme.matches ? "dark" : "light"));
  at("keys").addEventListener("click", help);
  document.addEventListener("keydown", globalKeys);
  root.classList.add("live");
  if (!page.data.runs.length) { document.querySelectorAll(".scripted:not(.controls):not(a)").forEach((part) => part.remove()); return; }
  fill(at("system"), page.data.systems.map((system, n) => [String(n), system.title]), "0");
  at("system-choice").hidden = page.data.systems.length < 2;
  at("system").addEventListener("change", () => show(Number(at("system").value)));
  at("quantity").addEventListener("change", () => { gridNote(); for (const element of at("grid-charts").children) chart(element, drawn.get(element).build); });
  startExplorer();
  startDrawer();
  startTable();
  await show(0);
  controlChecks();
  root.dataset.ready = "true";
}
start();
