// The paper next to this run: its figures as views of the page, its numbers with ours, its slopes drawn through our cells.
function paper() {
  const { numbers, figures } = page.data.systems[page.system].paper;
  at("paper").hidden = !figures.length;
  document.querySelector('.bar a[href="#paper"]').hidden = !figures.length;
  if (!figures.length) return;
  const slopes = numbers.filter((row) => row.across && runOf(row.run));
  const panel = (text, build) => {
    const element = make("div", { class: "chart", role: "group", tabindex: 0, "aria-label": text });
    chart(element, build);
    return element;
  };
  at("paper-charts").replaceChildren(...(slopes.length ? slopes.map((row) => panel(`Entropy: ${row.quantity}`, () => slopePanel(row)))
    : numbers.length ? [panel("Published values and this run", () => numbersPanel(numbers))] : []));
  const heads = ["figure of the paper", "its number", "published", "this run", "ideal", "z"], cell = (text) => make("td", { class: "number" }, text);
  const rows = figures.flatMap((figure) => {
    const mine = numbers.filter((row) => figure.y === "entropy" && row.along === figure.x && figure.runs.includes(row.run));
    const open = make("button", { type: "button", onclick: () => openView(figure) }, figure.title);
    const name = make("th", { scope: "row", rowspan: Math.max(1, mine.length) }, open, figure.runs.length < ofSystem().length ? make("span", { class: "quiet" }, ` ${figure.runs.join(", ")}`) : "");
    const cells = mine.map((row) => [make("td", {}, row.quantity), ...[publishedText(row), pair(row.value, row.error), short(row.ideal), distance(row)].map(cell)]);
    return (cells.length ? cells : [[make("td", { class: "quiet", colspan: 5 }, "a picture, no number")]]).map((one, n) => make("tr", {}, ...(n ? one : [name, ...one])));
  });
  at("paper-table").replaceChildren(make("table", { class: "links" }, make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))), make("tbody", {}, ...rows)));
  at("paper-note").textContent = slopes.length ? "Charts: entropy of each row of cells minus its mean, in nats. Solid: slope of this run; dotted: the published slope, ± its spread." : "";
}

const publishedText = (row) => (finite(row.spread) ? pair(row.published, row.spread) : short(row.published, 5));
const distance = (row) => `${short(row.z, 2)}${finite(row.z) && !finite(row.spread) ? " (error of this run only)" : finite(row.z) && !finite(row.error) ? " (published spread only)" : ""}`;
const runOf = (name) => ofSystem().find((run) => run.name === name);

/** Show a figure of the paper: the explorer with its axes and runs, or the grid of its quantity. */
function openView({ x, y, view, runs: names }) {
  if (view === "grid") {
    at("quantity").value = y;
    at("quantity").dispatchEvent(new Event("change"));
  } else {
    for (const box of at("runs").querySelectorAll("input")) box.checked = names.some((name) => runOf(name)?.id === Number(box.value));
    at("preset").value = "";
    at("x").value = x;
    at("y").value = y;
    at("as").value = "value";
    logs();
    plot();
  }
  at(view).scrollIntoView();
  at(view === "grid" ? "quantity" : "explorer-chart").focus({ preventScroll: true });
}

/** The entropy of each row of cells minus its mean, with the published slope and that of this run. */
function slopePanel(row) {
  const run = runOf(row.run), [a, b] = run.axes, rows = new Map();
  run.status.forEach((status, k) => {
    if (status !== 0 || !finite(value(run, "entropy", k))) return;
    const key = (row.across === "product" ? value(run, a, k) * value(run, b, k) : value(run, row.across, k)).toPrecision(3);
    if (!rows.has(key)) rows.set(key, []);
    rows.get(key).push(k);
  });
  const kept = [...rows.values()].filter((cells) => cells.length > 1), mean = (values) => values.reduce((sum, x) => sum + x, 0) / values.length, n = runs().indexOf(run);
  const points = kept.flatMap((cells) => {
    const x = mean(cells.map((k) => Math.log(value(run, row.along, k)))), s = mean(cells.map((k) => value(run, "entropy", k)));
    return cells.map((k) => ({ k, x: Math.exp(Math.log(value(run, row.along, k)) - x), y: value(run, "entropy", k) - s }));
  });
  const low = Math.min(...points.map((p) => p.x)), high = Math.max(...points.map((p) => p.x));
  const line = (slope, name, more) => ({ x: [low, high], y: [slope * Math.log(low), slope * Math.log(high)], mode: "lines", name, hoverinfo: "skip", ...more });
  const cloud = { x: points.map((p) => p.x), y: points.map((p) => p.y), mode: "markers", showlegend: false, customdata: points.map((p) => cellKey(run, p.k)), hovertext: points.map((p) => hover(run, p.k, "entropy")), hoverinfo: "text",
    error_y: bars(points.map((p) => error(run, "entropy", p.k))), marker: { size: 5, color: colour(n), symbol: MARKERS[n % 7], opacity: 0.6 } };
  return { traces: [cloud, line(row.value, `this run ${pair(row.value, row.error)}`, { line: { color: colour(0), width: 2 } }), line(row.published, `published ${publishedText(row)}`, { line: { color: colour(1), width: 2.5, dash: "dot" } })],
    layout: { height: 300, showlegend: true, legend: { orientation: "v", x: 0.02, y: row.value < 0 ? 0.02 : 0.98, yanchor: row.value < 0 ? "bottom" : "top", bgcolor: "rgba(0,0,0,0)" }, margin: { l: 58, r: 12, t: 30, b: 46 },
      annotations: [{ text: `${label(row.quantity)}: z = ${distance(row)}`, x: 0, y: 1.01, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false }],
      xaxis: { title: `${label(symbol(row.along))} over the mean of its row`, ...scale(points.map((p) => p.x), true) }, yaxis: { title: `${label(symbol("entropy"))} − mean (nats)` } } };
}

/** Published values and this run, one below the other. */
function numbersPanel(rows) {
  const y = rows.map((_, n) => -n);
  const points = (value, error, name, n, up) => ({ x: rows.map((r) => r[value]), y: y.map((v) => v + up), mode: "markers", name, marker: { color: colour(n), symbol: MARKERS[n], size: 9 }, error_x: { ...bars(rows.map((r) => r[error])), color: colour(n) },
    hovertext: rows.map((r) => `${label(r.quantity)}<br>${name} ${pair(r[value], r[error])}`), hoverinfo: "text" });
  const ideal = { x: rows.map((r) => r.ideal), y, mode: "markers", name: "ideal gas", marker: { symbol: "line-ns-open", size: 22, color: variable("ink") }, hoverinfo: "skip" };
  return { traces: [ideal, points("published", "spread", "published", 1, 0.14), points("value", "error", "this run", 0, -0.14)],
    layout: { height: 110 + 40 * rows.length, showlegend: true, margin: { l: 60, r: 12, t: 14, b: 40 },
      yaxis: { tickfont: { size: innerWidth < 640 ? 9.5 : 12 }, tickvals: y, ticktext: rows.map((r) => label(r.quantity).replace(/, (?=[^,]*$)/, "<br>")), zeroline: false, showgrid: false, range: [-rows.length + 0.4, 0.6] } } };
}
page.hooks.system.push(paper);
