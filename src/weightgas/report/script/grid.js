// The grid of each run as a heat map of one quantity; cells that are not in equilibrium have the letters of their status.
const LETTERS = ["", "C", "W", "S", "D", "F", "–"];

function grids() {
  const list = ofSystem().filter((run) => run.status.length > 1);
  at("grid").hidden = !list.length;
  document.querySelector('.bar a[href="#grid"]').hidden = !list.length;
  const before = at("quantity").value, options = grouped(list, (name) => !list.every((run) => run.axes.includes(name)));
  fill(at("quantity"), { cells: [["status", "status"]], ...options });
  at("quantity").value = before && [...at("quantity").options].some((o) => o.value === before) ? before : options.state?.some(([n]) => n === "compressibility") ? "compressibility" : "status";
  at("grid-charts").replaceChildren(...list.map((run) => {
    const element = make("div", { class: "chart", tabindex: 0, role: "group", "aria-label": `Grid of ${run.name}. Arrow keys move through the cells, Enter opens one.` });
    keys(element, (cell, way) => neighbour(run, cell, way));
    chart(element, () => gridTraces(run));
    return element;
  }));
  at("grid-note").textContent = list.some((run) => run.index) ? list.filter((run) => run.index).map((run) => `${run.name}: ${run.status.length} of ${run.cells} cells, evenly spaced.`).join(" ") : "";
}

/** The grid of a run: values of both axes, and the cell at each pair (or null). */
function lattice(run) {
  if (run.lattice) return run.lattice;
  const [first, second] = run.axes.map((axis) => run.columns[axis].value), xs = [...new Set(first)].sort((a, b) => a - b), ys = [...new Set(second)].sort((a, b) => a - b);
  const sparse = xs.length * ys.length > 4 * run.status.length, rows = sparse ? null : ys.map(() => xs.map(() => null));
  if (rows) run.status.forEach((_, k) => { rows[ys.indexOf(second[k])][xs.indexOf(first[k])] = k; });
  return (run.lattice = { xs, ys, rows, first, second });
}

function neighbour(run, cell, [right, up]) {
  const here = cell && split(cell)[0] === run ? split(cell)[1] : null, { xs, ys, rows, first, second } = lattice(run);
  if (here === null) return cellKey(run, 0);
  if (!rows) return cellKey(run, Math.max(0, Math.min(run.status.length - 1, here + right + up)));
  let i = xs.indexOf(first[here]) + right, j = ys.indexOf(second[here]) + up;
  while (i >= 0 && j >= 0 && i < xs.length && j < ys.length) {
    if (rows[j][i] !== null) return cellKey(run, rows[j][i]);
    i += right; j += up;
  }
  return null;
}

function gridTraces(run) {
  const name = at("quantity").value, { xs, ys, rows, first, second } = lattice(run), [a, b] = run.axes;
  const status = name === "status", of = (k) => (status ? run.status[k] : value(run, name, k));
  const all = run.status.map((_, k) => of(k)).filter(finite), log = !status && all.length && Math.min(...all) > 0 && Math.max(...all) / Math.min(...all) > 10;
  const z = (k) => (k === null || !finite(of(k)) ? null : log ? Math.log10(of(k)) : of(k)), low = Math.min(...all), high = Math.max(...all);
  const range = status ? { zmin: -0.5, zmax: 6.5 } : { zmin: log ? Math.log10(low) : low, zmax: log ? Math.log10(high) : high };
  const bar = status ? { tickvals: [0, 1, 2, 3, 4, 5, 6], ticktext: page.data.statuses.map((s) => label(s.name)), thickness: 10 } : { thickness: 10, title: { text: label(symbol(name)), side: "top" }, ...(log ? ticks(range.zmin, range.zmax) : {}) };
  const steps = status ? ["#9fb3c8", "#e0a030", "#8d6cab", "#f0d060", "#c05030", "#404040", "#d0d0d0"].flatMap((c, n) => [[n / 7, c], [(n + 1) / 7, c]]) : scheme();
  const look = { height: 330, margin: { l: 58, r: 8, t: 30, b: 46 }, annotations: [{ text: label(run.name), x: 0, y: 1.01, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false }] };
  if (!rows) {
    const cells = run.status.map((_, k) => k);
    return { traces: [{ x: first, y: second, mode: "markers", customdata: cells.map((k) => cellKey(run, k)), hovertext: cells.map((k) => hover(run, k, name, "temperature")), hoverinfo: "text",
      marker: { size: 11, symbol: "square", color: cells.map(z), colorscale: steps, cmin: range.zmin, cmax: range.zmax, showscale: true, colorbar: bar } }],
    layout: { ...look, xaxis: { title: axisTitle(a), ...scale(first, true) }, yaxis: { title: axisTitle(b), ...scale(second, true) } } };
  }
  const letters = ys.length * xs.length <= 400, trace = { type: "heatmap", x: xs.map((_, i) => i), y: ys.map((_, j) => j), z: rows.map((row) => row.map(z)), customdata: rows.map((row) => row.map((k) => (k === null ? null : cellKey(run, k)))),
    hovertext: rows.map((row) => row.map((k) => (k === null ? "" : hover(run, k, name, "temperature")))), hoverinfo: "text", hoverongaps: true, colorscale: steps, ...range, colorbar: bar, xgap: 1, ygap: 1,
    ...(letters ? { text: rows.map((row) => row.map((k) => (k === null ? "" : LETTERS[run.status[k]]))), texttemplate: "%{text}", textfont: { size: 11 } } : {}) };
  const marks = (values) => { const every = Math.ceil(values.length / 6); const kept = values.map((_, n) => n).filter((n) => n % every === 0); return { tickvals: kept, ticktext: kept.map((n) => short(values[n], 2)), showgrid: false, zeroline: false }; };
  return { traces: [trace], layout: { ...look, xaxis: { title: axisTitle(a), ...marks(xs) }, yaxis: { title: axisTitle(b), ...marks(ys) } } };
}
page.hooks.system.push(grids);
