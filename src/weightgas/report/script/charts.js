// Charts: plotly with one look, drawn when they come into view, a ring for the marked cell, keys.
const drawn = new Map(); // element -> {make, points}

function layout(extra = {}) {
  const ink = variable("ink"), grid = variable("grid");
  const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: variable("soft"), ticks: "outside", tickcolor: variable("soft"),
    automargin: extra.fixed !== true, exponentformat: "power", title: { standoff: 8 } };
  const out = { margin: { l: 58, r: 12, t: 14, b: 46 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: ink }, showlegend: false, hovermode: "closest", dragmode: "zoom",
    hoverlabel: { align: "left", font: { size: 12 } }, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, ...extra };
  for (const name of Object.keys(out).filter((key) => /^[xy]axis/.test(key)).concat(["xaxis", "yaxis"])) {
    out[name] = { ...axis, ...(out[name] || {}) };
    if (typeof out[name].title === "string") out[name].title = { text: out[name].title, standoff: 8 };
  }
  delete out.fixed;
  return out;
}

const CONFIG = { displayModeBar: false, responsive: true, doubleClick: "reset" };

/** A logarithmic axis has readable ticks: over less than three decades at 1, 2, 5, over less than one at every digit. */
function scale(values, wanted) {
  const good = values.filter((x) => finite(x) && x > 0);
  const log = wanted === undefined ? good.length && good.length === values.filter(finite).length && Math.max(...good) / Math.min(...good) > 20 : wanted && good.length;
  if (!log) return {};
  const decades = Math.log10(Math.max(...good) / Math.min(...good));
  return { type: "log", ...(decades < 0.25 ? { nticks: 6, dtick: undefined } : { dtick: decades < 0.9 ? "D1" : decades < 3 ? "D2" : 1 }) };
}

/** Show a chart in an element; `build` returns {traces, layout}. It is drawn at once if in view, else when scrolled to. */
function chart(element, build, now = false) {
  drawn.set(element, { build, ready: false, listens: drawn.get(element)?.listens });
  if (!watcher || now) return draw(element);
  watcher.unobserve(element);
  watcher.observe(element);
  return undefined;
}

const watcher = "IntersectionObserver" in window ? new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    const known = drawn.get(target);
    if (isIntersecting && known && !known.ready) draw(target);
  }
}, { rootMargin: "300px" }) : null;

function draw(element) {
  const known = drawn.get(element);
  const { traces, layout: look } = known.build();
  known.ready = true;
  const height = Math.max(look.height || element.clientHeight || 300, 160);
  const result = Plotly.react(element, traces, layout({ ...look, height }), CONFIG);
  if (!known.listens) {
    known.listens = true;
    element.on("plotly_hover", (event) => mark(cellOf(event), element));
    element.on("plotly_click", (event) => { const cell = cellOf(event); if (cell) openDrawer(cell, element); });
    element.on("plotly_relayout", () => ring(element));
  }
  ring(element);
  return result;
}

const cellOf = (event) => {
  const point = event.points[0], key = point.customdata;
  return typeof key === "string" && key.includes(":") ? key : null;
};

/** All points of a chart that are cells: {key, x, y, axes}. */
function pointsOf(element) {
  const found = [];
  for (const trace of element.data || []) {
    if (!trace.customdata || trace.visible === false) continue;
    if (trace.type === "heatmap") {
      trace.customdata.forEach((row, j) => row.forEach((key, i) => { if (key) found.push({ key, x: trace.x[i], y: trace.y[j], trace }); }));
    } else trace.x.forEach((x, k) => { if (trace.customdata[k]) found.push({ key: trace.customdata[k], x, y: trace.y[k], trace }); });
  }
  return found;
}

/** Ring around the marked cell. */
function ring(element) {
  element.querySelectorAll(".ring").forEach((old) => old.remove());
  const full = element._fullLayout;
  if (!page.cell || !full || !full.xaxis) return;
  for (const point of pointsOf(element).filter((p) => p.key === page.cell)) {
    const x = full[(point.trace.xaxis || "x").replace("x", "xaxis")], y = full[(point.trace.yaxis || "y").replace("y", "yaxis")];
    if (!finite(x.d2p(point.x)) || !finite(y.d2p(point.y))) continue;
    const left = x._offset + x.d2p(point.x), top = y._offset + y.d2p(point.y);
    if (left < x._offset - 9 || left > x._offset + x._length + 9 || top < y._offset - 9 || top > y._offset + y._length + 9) continue;
    const found = make("span", { class: point.trace.type === "heatmap" ? "ring box" : "ring", "data-cell": point.key });
    found.style.left = `${left}px`;
    found.style.top = `${top}px`;
    element.append(found);
  }
}

/** Keys of a chart of cells: arrows move, Enter opens, + - 0 zoom. `move` gives the next cell for a direction. */
function keys(element, move) {
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (way) {
      const next = move(page.cell, way);
      if (next) { mark(next, element); event.preventDefault(); }
    } else if (event.key === "Enter" && page.cell) { openDrawer(page.cell, element); event.preventDefault(); }
    else if (["+", "=", "-", "0"].includes(event.key)) zoom(element, event.key);
    else return;
    event.stopPropagation();
  });
}

function zoom(element, key) {
  const full = element._fullLayout, update = {};
  for (const name of Object.keys(full).filter((n) => /^[xy]axis\d*$/.test(n))) {
    if (key === "0") update[`${name}.autorange`] = true;
    else {
      const [low, high] = full[name].range.map(Number), middle = (low + high) / 2, half = ((high - low) / 2) * (key === "-" ? 1.4 : 1 / 1.4);
      update[`${name}.range`] = [middle - half, middle + half];
    }
  }
  Plotly.relayout(element, update);
}

/** The next point of a scatter chart: along x by left and right, along y by up and down. */
function nearest(element) {
  return (cell, [right, up]) => {
    const points = pointsOf(element).filter((p) => finite(p.x) && finite(p.y));
    const order = points.sort((a, b) => (right ? a.x - b.x || a.y - b.y : a.y - b.y || a.x - b.x));
    if (!order.length) return null;
    const place = order.findIndex((p) => p.key === cell);
    return order[place < 0 ? 0 : Math.min(order.length - 1, Math.max(0, place + (right || up)))].key;
  };
}

page.hooks.cell.push(() => { for (const [element, known] of drawn) if (known.ready) ring(element); });
page.hooks.look.push(() => { for (const [element, known] of drawn) if (known.ready) draw(element); });
