// The cell that is marked in all views, the system that is shown, and the names of cells.
const runs = () => page.data.runs;
const split = (key) => { const [run, cell] = key.split(":").map(Number); return [runs()[run], cell]; };
const cellKey = (run, cell) => `${run.id}:${cell}`;
const ofSystem = (roles = ["run"]) => runs().filter((run) => run.system === page.system && roles.includes(run.role));

/** Mark a cell in every view. */
function mark(cell, from) {
  if (!cell || cell === page.cell) return;
  page.cell = cell;
  for (const hook of page.hooks.cell) hook(cell, from);
  clearTimeout(page.speaking);
  page.speaking = setTimeout(() => { at("spoken").textContent = describe(cell); }, 150);
}

function describe(cell) {
  const [run, k] = split(cell);
  const fixed = run.axes.map((axis) => `${symbol(axis)} ${short(run.columns[axis].value[k])}`).join(", ");
  return `${run.role === "control" ? "reference, " : ""}${run.name}, ${fixed}: ${statusOf(run, k)}`;
}

const statusOf = (run, k) => page.data.statuses[run.status[k]].name;
const value = (run, name, k) => run.columns[name]?.value[k] ?? null;
const error = (run, name, k) => run.columns[name]?.error?.[k] ?? null;
const theory = (run, name, k) => run.columns[name]?.theory?.[k] ?? null;

/** The name of a run, with what it belongs to if that is not the system that is shown. */
const longName = (run) => `${run.system === page.system ? "" : `${page.data.systems[run.system].title}: `}${run.name}${run.role === "control" ? " (reference)" : ""}`;

/** What is pointed at, in a few lines. */
function hover(run, k, ...names) {
  const lines = [label(describe(cellKey(run, k)))];
  for (const name of new Set(names)) if (run.columns[name]) lines.push(`${label(symbol(name))} = ${pair(value(run, name, k), error(run, name, k))}`);
  return lines.join("<br>");
}

/** Columns that some run of a list has, by group, for a select. */
function grouped(list, wanted = () => true) {
  const out = {};
  for (const [name, q] of Object.entries(page.data.quantities)) {
    if (list.some((run) => run.columns[name]) && wanted(name)) (out[q.group] ??= []).push([name, titled(name)]);
  }
  return out;
}

/** Show a system: its picture at once, the rest after it has been painted. */
function show(system) {
  page.system = system;
  headChart();
  return new Promise((resolve) => setTimeout(() => {
    for (const hook of page.hooks.system) hook();
    resolve();
  }, 30));
}
