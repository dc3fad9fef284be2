// The grid of each run as a heat map of one quantity; cells that are not in equilibrium have the letters of their status.
const LETTERS = ["", "C", "W", "S", "D", "F", "–"];

function grids() {
  const list = ofSystem().filter((run) => run.status.length > 1);
  at("grid").hidden = !list.length;
  document.querySelector('.bar a[href="#grid"]').hidden = !list.length;
  const before = at("quantity").value, options = grouped(list, (name) => !list.every((run) => run.axes.includes(name)));
  const potentials = list.some((run) => run.status.some((_, k) => inPotential(run, k))) ? [[POTENTIAL, "potential at T and p of the marked cell"]] : [];
  fill(at("quantity"), { cells: [["status", "status"], ...potentials], ...options });
  at("quantity").value = before && [...at("quantity").options].some((o) => o.value === before) ? before : options.state?.some(([n]) => n === "compressibility") ? "compressibility" : "status";
  at("grid-charts").replaceChildren(...list.map((run) => {
    const element = make("div", { class: "chart", tabindex: 0, role: "group", "aria-label": `Grid of ${run.name}. Arrow keys move through the cells, Enter opens one.` });
    element.run = run;
    keys(element, (cell, way) => neighbour(run, cell, way));
    chart(element, () => gridTraces(run));
    return element;
  }));
  gridNote();
}

/** What the maps show, where the choice does not state it, and of how many cells. */
function gridNote() {
  const list = [...at("grid-charts").children].map((element) => element.run), texts = list.filter((run) => run.index).map((run) => `${run.name}: ${run.status.length} of ${run.cells} cells, evenly spaced.`);
  const met = [...new Set(list.flatMap((run) => run.status))].sort().filter((s) => LETTERS[s]);
  if (met.length) texts.unshift(`${met.map((s) => `${LETTERS[s]}: ${page.data.statuses[s].name}`).join(", ")}.`);
  if (at("quantity").value === POTENTIAL) texts.push("Ring: the cell that gives T* and p*, which was marked last. Star: the least potential, which should lie in the ring.",
    list.every((run) => run.projected) ? "" : "𝒢 = U − T*S + p*V.", list.some((run) => run.projected) ? "On the sphere it is F = U − T*S, with a minimum for each radius." : "", "White: not in equilibrium, or without entropy.");
  at("grid-note").textContent = texts.filter(Boolean).join(" ");
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
  const status = name === "status", map = name === POTENTIAL ? potential(run) : null, of = (k) => (status ? run.status[k] : map ? map.value(k) : value(run, name, k));
  const all = run.status.map((_, k) => of(k)).filter(finite), tinted = map ? potentialColours(all) : null, log = !status && (tinted || (all.length && Math.min(...all) > 0 && Math.max(...all) / Math.min(...all) > 10));
  const z = (k) => (k === null || !finite(of(k)) ? null : tinted ? tinted.z(of(k)) : log ? Math.log10(of(k)) : of(k)), low = Math.min(...all), high = Math.max(...all);
  const range = status ? { zmin: -0.5, zmax: 6.5 } : tinted ? tinted.range : { zmin: log ? Math.log10(low) : low, zmax: log ? Math.log10(high) : high };
  const bar = status ? { tickvals: [0, 1, 2, 3, 4, 5, 6], ticktext: page.data.statuses.map((s) => label(s.name)), thickness: 10 } : { thickness: 10, title: { text: map ? map.symbol : label(symbol(name)), side: "top" }, ...(log ? ticks(range.zmin, range.zmax) : {}) };
  const text = (k) => `${hover(run, k, name, "temperature")}${map && finite(of(k)) ? `<br>${map.symbol} = ${short(of(k), 3)}` : ""}`, marks = (place) => (map ? potentialMarks(run, map.minima, place) : []);
  const steps = status ? ["#9fb3c8", "#e0a030", "#8d6cab", "#f0d060", "#c05030", "#404040", "#d0d0d0"].flatMap((c, n) => [[n / 7, c], [(n + 1) / 7, c]]) : scheme();
  const look = { height: 330, margin: { l: 58, r: 8, t: 30, b: 46 }, annotations: [{ text: label(run.name), x: 0, y: 1.01, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false }] };
  if (!rows) {
    const cells = run.status.map((_, k) => k);
    return { traces: [{ x: first, y: second, mode: "markers", customdata: cells.map((k) => cellKey(run, k)), hovertext: cells.map(text), hoverinfo: "text",
      marker: { size: 11, symbol: "square", color: cells.map(z), colorscale: steps, cmin: range.zmin, cmax: range.zmax, showscale: true, colorbar: bar } }, ...marks((k) => [first[k], second[k]])],
    layout: { ...look, xaxis: { title: axisTitle(a), ...scale(first, true) }, yaxis: { title: axisTitle(b), ...scale(second, true) } } };
  }
  const letters = ys.length * xs.length <= 400, trace = { type: "heatmap", x: xs.map((_, i) => i), y: ys.map((_, j) => j), z: rows.map((row) => row.map(z)), customdata: rows.map((row) => row.map((k) => (k === null ? null : cellKey(run, k)))),
    hovertext: rows.map((row) => row.map((k) => (k === null ? "" : text(k)))), hoverinfo: "text", hoverongaps: true, colorscale: steps, ...range, colorbar: bar, xgap: 1, ygap: 1,
    ...(letters ? { text: rows.map((row) => row.map((k) => (k === null ? "" : LETTERS[run.status[k]]))), texttemplate: "%{text}", textfont: { size: 11 } } : {}) };
  const ticked = (values) => { const every = Math.ceil(values.length / 6); const kept = values.map((_, n) => n).filter((n) => n % every === 0); return { tickvals: kept, ticktext: kept.map((n) => short(values[n], 2)), showgrid: false, zeroline: false, range: [-0.5, values.length - 0.5] }; };
  return { traces: [trace, ...marks((k) => [xs.indexOf(first[k]), ys.indexOf(second[k])])], layout: { ...look, xaxis: { title: axisTitle(a), ...ticked(xs) }, yaxis: { title: axisTitle(b), ...ticked(ys) } } };
}
page.hooks.system.push(grids);
