// The table of cells: sorted, filtered, in pages; CSV of what the filter leaves, with all columns and digits.
const ROWS = 20;
const table = { sort: null, down: false, first: 0, order: [] };
const SETS = { main: ["temperature", "pressure", "volume", "radius", "energy", "entropy", "compressibility", "ess"] };

function cells() {
  const list = ofSystem(["run", "unjudged", "control"]), groups = [...new Set(Object.values(page.data.quantities).map((q) => q.group))].filter((g) => g !== "hyperparameters");
  fill(at("columns"), [["main", "main quantities"], ...groups.map((g) => [g, g])], at("columns").value && groups.includes(at("columns").value) ? at("columns").value : "main");
  table.list = list;
  table.first = 0;
  fresh();
}

function shownColumns() {
  const group = at("columns").value, names = group === "main" ? SETS.main : Object.keys(page.data.quantities).filter((name) => quantity(name).group === group);
  const axes = [...new Set(table.list.flatMap((run) => run.axes))];
  return [axes, names.filter((name) => !axes.includes(name) && table.list.some((run) => run.columns[name]))];
}

/** The cells that the filter leaves, in their order. */
function fresh() {
  const tests = at("filter").value.split(",").map((part) => part.trim()).filter(Boolean).map(condition);
  table.order = table.list.flatMap((run) => run.status.map((_, k) => [run, k])).filter(([run, k]) => tests.every((test) => test(run, k)));
  if (table.sort) {
    const of = ([run, k]) => (table.sort === "run" ? run.name : table.sort === "status" ? statusOf(run, k) : value(run, table.sort, k));
    table.order.sort((a, b) => { const [x, y] = [of(a), of(b)]; if (x === y) return 0; if (x === null) return 1; if (y === null) return -1; return (x < y ? -1 : 1) * (table.down ? -1 : 1); });
  }
  table.first = Math.min(table.first, Math.max(0, Math.floor((table.order.length - 1) / ROWS) * ROWS));
  rows();
}

function condition(text) {
  const found = /^(.+?)\s*(<=|>=|<|>|=)\s*(-?[\d.]+(?:e-?\d+)?)$/i.exec(text);
  const name = found && (Object.keys(page.data.quantities).find((n) => n === found[1]) ?? Object.keys(page.data.quantities).find((n) => symbol(n) === found[1]));
  if (name) {
    const limit = Number(found[3]), close = (x) => Math.abs(x - limit) <= 1e-4 * Math.abs(limit);
    return (run, k) => { const x = value(run, name, k); return finite(x) && { "<": x < limit, ">": x > limit, "<=": x <= limit, ">=": x >= limit, "=": close(x) }[found[2]]; };
  }
  const words = text.toLowerCase();
  return (run, k) => describe(cellKey(run, k)).toLowerCase().includes(words);
}

function rows() {
  const [axes, names] = shownColumns(), columns = ["run", ...axes, ...names, "status"], body = at("table").tBodies[0], header = at("table").tHead;
  const head = (name) => {
    const text = ["run", "status"].includes(name) ? name : term(name);
    const button = make("button", { type: "button", onclick: () => { table.down = table.sort === name ? !table.down : false; table.sort = name; fresh(); [...header.querySelectorAll("button")][columns.indexOf(name)]?.focus(); } }, text);
    if (text.tip) { button.addEventListener("focus", text.tip.show); button.addEventListener("blur", text.tip.hide); }
    return make("th", { scope: "col", "aria-sort": table.sort === name ? (table.down ? "descending" : "ascending") : "none" }, button, table.sort === name ? (table.down ? " ↓" : " ↑") : "");
  };
  header.replaceChildren(make("tr", {}, ...columns.map(head)));
  const some = table.order.slice(table.first, table.first + ROWS);
  body.replaceChildren(...some.map(([run, k], n) => {
    const key = cellKey(run, k), row = make("tr", { "data-cell": key, tabindex: n === 0 ? 0 : -1, onmouseenter: () => mark(key, at("table")), onfocus: () => mark(key, at("table")), onclick: () => openDrawer(key, row) },
      make("th", { scope: "row" }, run.role === "control" ? `${run.name} (reference)` : run.name), ...axes.map((name) => make("td", { class: "number" }, short(value(run, name, k)))),
      ...names.map((name) => make("td", { class: "number" }, pair(value(run, name, k), error(run, name, k)))), make("td", {}, statusOf(run, k)));
    return row;
  }));
  at("count").textContent = `${table.order.length} cell${table.order.length === 1 ? "" : "s"}`;
  document.querySelector(".pages").hidden = table.order.length <= ROWS;
  at("page").textContent = table.order.length ? `${table.first + 1} to ${table.first + some.length} of ${table.order.length}` : "no cell";
  at("before").disabled = table.first === 0;
  at("after").disabled = table.first + ROWS >= table.order.length;
  highlight();
}

function turn(by) { table.first = Math.max(0, table.first + by * ROWS); rows(); }

function highlight() {
  for (const row of at("table").tBodies[0].rows) row.classList.toggle("marked", row.dataset.cell === page.cell);
}

/** Show the page of a cell that was marked elsewhere. */
function follow(cell, from) {
  if (!table.list) return;
  if (from !== at("table")) {
    const place = table.order.findIndex(([run, k]) => cellKey(run, k) === cell);
    if (place >= 0 && (place < table.first || place >= table.first + ROWS)) { table.first = Math.floor(place / ROWS) * ROWS; rows(); return; }
  }
  highlight();
}

/** The cells that the filter leaves as CSV: every column with its standard error. */
function csv() {
  const axes = shownColumns()[0], names = Object.keys(page.data.quantities).filter((name) => !axes.includes(name) && table.list.some((run) => run.columns[name]));
  const quote = (text) => { const safe = /^[=+@-]/.test(text) && !finite(Number(text)) ? `'${text}` : text; return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe; };
  const number = (x) => (finite(x) ? String(x) : "");
  const lines = [["run", "cell", ...axes, ...names.flatMap((name) => [name, `${name}_err`]), "status", "reason"]];
  for (const [run, k] of table.order) lines.push([run.role === "control" ? `${run.name} (reference)` : run.name, String(run.index ? run.index[k] : k), ...axes.map((n) => number(value(run, n, k))),
    ...names.flatMap((n) => [number(value(run, n, k)), number(error(run, n, k))]), statusOf(run, k), run.reason?.[k] ?? ""]);
  return lines.map((line) => line.map(quote).join(",")).join("\r\n") + "\r\n";
}

function save() {
  const link = make("a", { href: URL.createObjectURL(new Blob(["\ufeff", csv()], { type: "text/csv" })), download: "cells.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function startTable() {
  at("filter").addEventListener("input", () => { table.first = 0; fresh(); });
  at("columns").addEventListener("change", rows);
  at("csv").addEventListener("click", save);
  at("before").addEventListener("click", () => turn(-1));
  at("after").addEventListener("click", () => turn(1));
  at("table").addEventListener("keydown", (event) => {
    const row = event.target.closest("tbody tr");
    if (!row) return;
    const next = event.key === "ArrowDown" ? row.nextElementSibling : event.key === "ArrowUp" ? row.previousElementSibling : null;
    if (next) { next.focus(); event.preventDefault(); }
    if (event.key === "ArrowDown" && !next && !at("after").disabled) { turn(1); at("table").tBodies[0].rows[0].focus(); event.preventDefault(); }
    if (event.key === "Enter") { openDrawer(row.dataset.cell, row); event.preventDefault(); }
  });
}
page.hooks.cell.push(follow);
page.hooks.system.push(cells);
