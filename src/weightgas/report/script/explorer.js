// The explorer: x, y, colour and facets over all quantities, with theory and residuals.
const PRESETS = [
  ["energy over temperature", "temperature", "energy", "value"], ["entropy over temperature", "temperature", "entropy", "value"],
  ["radius over the first hyperparameter", 0, "radius", "value"], ["radius against theory", 0, "radius", "ratio"],
  ["temperature over the learning rate", 0, "temperature", "value"], ["noise over temperature", "temperature", "noise_var", "value"],
  ["Z over temperature", "temperature", "compressibility", "value"], ["pressure over radius", "radius", "pressure", "value"],
  ["energy against theory", "temperature", "energy", "z"], ["entropy over the second hyperparameter", 1, "entropy", "value"],
  ["fluctuation over explained", "temperature", "fluctuation", "ratio"], ["T_conf/T", "temperature", "conf_ratio", "value"],
];
const FACETS = [["", "none"], ["run", "run"], ["0", "first hyperparameter"], ["1", "second hyperparameter"]];

function explorer() {
  const own = ofSystem(["run", "unjudged"]), all = [...own, ...ofSystem(["control"]), ...runs().filter((run) => run.system !== page.system && run.role === "run")];
  const options = grouped(all), usable = (name) => own.some((run) => run.columns[name]);
  at("explorer").hidden = !own.some((run) => run.status.length > 1);
  document.querySelector('.bar a[href="#explorer"]').hidden = at("explorer").hidden;
  page.axis = (name) => (typeof name === "number" ? own[0]?.axes[name] : name);
  const presets = PRESETS.filter(([, x, y, as]) => usable(page.axis(x)) && usable(y) && (as === "value" || own.some((run) => run.columns[y].theory)));
  fill(at("preset"), [...presets.map(([text], n) => [String(PRESETS.indexOf(presets[n])), text]), ["", "custom"]], "");
  fill(at("x"), options);
  fill(at("y"), options);
  fill(at("colour"), { by: [["run", "run"]], ...options }, "run");
  fill(at("facet"), FACETS, "");
  at("runs").replaceChildren(make("legend", {}, "Runs"), ...all.map((run) => make("label", {}, make("input", { type: "checkbox", value: run.id, checked: run.role === "run" && (run.system === page.system || at("compared") !== null), onchange: plot }),
    ` ${longName(run)}`)));
  if (presets.length) preset(PRESETS.indexOf(presets[0]));
  else { at("x").value = own[0]?.axes[0] ?? ""; at("y").value = usable("energy") ? "energy" : at("y").value; logs(); plot(); }
}

/** Choose a view of the list. */
function preset(n) {
  const [, x, y, as] = PRESETS[n];
  at("preset").value = String(n);
  at("x").value = page.axis(x);
  at("y").value = y;
  at("as").value = as;
  logs();
  plot();
}

const checked = () => [...at("runs").querySelectorAll("input:checked")].map((box) => runs()[Number(box.value)]);

function logs() {
  const type = (name) => scale(checked().flatMap((run) => run.columns[name]?.value ?? [])).type === "log";
  at("log-x").checked = type(at("x").value);
  at("log-y").checked = at("as").value === "value" && type(at("y").value);
}

function plot() { chart(at("explorer-chart"), explorerTraces); }

function explorerTraces() {
  const [x, y, as, by, facet] = ["x", "y", "as", "colour", "facet"].map((id) => at(id).value), list = checked().filter((run) => run.columns[x] && run.columns[y]);
  const cells = list.flatMap((run) => run.status.map((_, k) => ({ run, k, x: value(run, x, k), y: measured(run, y, k, as), panel: panel(run, k, facet) }))).filter((c) => finite(c.x) && finite(c.y));
  const panels = [...new Set(cells.map((c) => c.panel))].sort((a, b) => (facet === "run" ? 0 : a - b));
  const kept = panels.length > 6 ? [0, 1, 2, 3, 4, 5].map((n) => panels[Math.round((n * (panels.length - 1)) / 5)]) : panels;
  const width = kept.length > 1 ? (innerWidth < 640 ? 1 : Math.min(3, kept.length)) : 1, rows = Math.ceil(kept.length / width), traces = [], look = { annotations: [] };
  const shades = by === "run" ? [] : cells.map((c) => value(c.run, by, c.k)).filter(finite), log = shades.length && Math.min(...shades) > 0 && Math.max(...shades) / Math.min(...shades) > 10;
  const shade = (c) => { const v = value(c.run, by, c.k); return finite(v) ? (log ? Math.log10(v) : v) : null; };
  const low = log ? Math.log10(Math.min(...shades)) : Math.min(...shades), high = log ? Math.log10(Math.max(...shades)) : Math.max(...shades);
  kept.forEach((name, p) => {
    const [xa, ya] = [`x${p ? p + 1 : ""}`, `y${p ? p + 1 : ""}`], column = p % width, row = Math.floor(p / width), gap = 0.07;
    const across = [(column + (column ? gap : 0)) / width, (column + 1) / width], down = [1 - (row + 1) / rows + (row < rows - 1 ? 0.13 : 0), 1 - row / rows - (kept.length > 1 ? 0.06 : 0)];
    look[`xaxis${p ? p + 1 : ""}`] = { title: row === rows - 1 || p + width >= kept.length ? axisTitle(x) : "", domain: across, anchor: ya, ...scale(cells.map((c) => c.x), at("log-x").checked), ...(p ? { matches: "x" } : {}) };
    look[`yaxis${p ? p + 1 : ""}`] = { title: column ? "" : asTitle(y, as), domain: down, anchor: xa, ...scale(cells.map((c) => c.y), at("log-y").checked), ...(p ? { matches: "y" } : {}) };
    if (kept.length > 1) look.annotations.push({ text: facet === "run" ? label(name) : `${label(symbol(list[0].axes[Number(facet)]))} = ${short(name, 3)}`, x: across[0], y: down[1], xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false });
    list.forEach((run) => {
      const here = cells.filter((c) => c.run === run && c.panel === name).map((c) => c.k), n = run.role === "control" ? 6 : list.indexOf(run);
      if (!here.length) return;
      if (as === "value") traces.push(...lines(run, n, here, x, y).map((t) => ({ ...t, xaxis: xa, yaxis: ya })));
      const points = cloud(run, n, here, (k) => value(run, x, k), y, (k) => measured(run, y, k, as), (k) => spread(run, y, k, as), x);
      if (by !== "run") Object.assign(points.marker, { color: here.map((k) => shade({ run, k })), colorscale: scheme(), cmin: low, cmax: high, line: { width: 0.5, color: variable("soft") },
        showscale: !traces.some((t) => t.marker?.showscale), colorbar: { title: { text: label(symbol(by)), side: "top" }, thickness: 10, ...(log ? ticks(low, high) : {}) } });
      if (by !== "run") points.error_y.color = points.error_x.color = variable("open");
      traces.push({ ...points, xaxis: xa, yaxis: ya, showlegend: p === 0, legendgroup: run.name });
    });
  });
  if (as !== "value") look.shapes = kept.map((_, p) => ({ type: "line", y0: 0, y1: 0, xref: `x${p ? p + 1 : ""} domain`, yref: `y${p ? p + 1 : ""}`, x0: 0, x1: 1, line: { color: variable("ink"), width: 1.2 } }));
  const hollow = cells.some((c) => c.run.status[c.k] !== 0);
  at("explorer-note").textContent = `${cells.length} cells.${hollow ? " Hollow points are not in equilibrium." : ""}${as === "value" && list.some((run) => run.columns[y].theory) ? " Lines are theory." : ""}${kept.length < panels.length ? ` ${kept.length} of ${panels.length} facets, evenly spaced.` : ""}`;
  return { traces, layout: { ...look, showlegend: list.length > 1, height: rows > 1 ? 300 * rows : undefined } };
}

const panel = (run, k, facet) => (facet === "" ? "" : facet === "run" ? run.name : value(run, run.axes[Number(facet)], k));
const asTitle = (y, as) => (as === "value" ? axisTitle(y) : as === "z" ? `${label(symbol(y))} − theory, in standard errors` : `${label(symbol(y))}/theory − 1`);

function measured(run, name, k, as) {
  const v = value(run, name, k), t = theory(run, name, k), e = error(run, name, k);
  if (as === "value") return v;
  if (!finite(v) || !finite(t)) return null;
  return as === "z" ? (finite(e) && e > 0 ? (v - t) / e : null) : v / t - 1;
}
function spread(run, name, k, as) {
  const e = error(run, name, k), t = theory(run, name, k);
  return as === "value" ? e : as === "z" ? 1 : finite(e) && finite(t) ? Math.abs(e / t) : null;
}

/** Theory as lines: one through the cells that share the hyperparameter that is not on the x axis. */
function lines(run, n, cells, x, y) {
  if (!run.columns[y].theory) return [];
  const other = run.axes.includes(x) ? run.axes.find((axis) => axis !== x) : null, groups = new Map();
  for (const k of cells) {
    if (!finite(theory(run, y, k))) continue;
    const name = other ? value(run, other, k) : 0;
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(k);
  }
  return [...groups.values()].map((group) => {
    const order = group.sort((a, b) => value(run, x, a) - value(run, x, b));
    return { x: order.map((k) => value(run, x, k)), y: order.map((k) => theory(run, y, k)), mode: "lines", line: { width: 1, color: colour(n) }, opacity: 0.75, hoverinfo: "skip", showlegend: false };
  });
}

function startExplorer() {
  for (const id of ["x", "y", "as"]) at(id).addEventListener("change", () => { at("preset").value = ""; logs(); plot(); });
  for (const id of ["colour", "facet", "log-x", "log-y"]) at(id).addEventListener("change", plot);
  at("preset").addEventListener("change", () => { if (at("preset").value) preset(Number(at("preset").value)); });
  keys(at("explorer-chart"), nearest(at("explorer-chart")));
  keys(at("head-chart"), nearest(at("head-chart")));
}
page.hooks.system.push(explorer);
