// The drawer: everything about one cell. Escape closes it, left and right go through the cells of the run.
function openDrawer(cell, from) {
  const drawer = at("drawer");
  mark(cell, from);
  page.opener = from && from.isConnected ? from : document.activeElement;
  fillDrawer(cell);
  if (!drawer.open) drawer.showModal();
  drawer.querySelector(".close").focus();
}

function fillDrawer(cell) {
  const [run, k] = split(cell), drawer = at("drawer"), status = page.data.statuses[run.status[k]];
  const step = (by) => { const next = k + by; if (next >= 0 && next < run.status.length) { mark(cellKey(run, next), drawer); fillDrawer(cellKey(run, next)); drawer.querySelector(by > 0 ? ".next-cell" : ".last-cell").focus(); } };
  drawer.onkeydown = (event) => { if (event.key === "ArrowRight") step(1); if (event.key === "ArrowLeft") step(-1); };
  const rows = {};
  for (const [name, column] of Object.entries(run.columns)) {
    if (!finite(column.value[k])) continue;
    const t = column.theory?.[k], e = column.error?.[k], q = quantity(name);
    const off = finite(t) && finite(e) && e > 0 ? `${short(t)} (${short((column.value[k] - t) / e, 2)} errors)` : finite(t) ? short(t) : "";
    (rows[q.group] ??= []).push(make("tr", {}, make("th", { scope: "row" }, term(name)), make("td", { class: "number" }, pair(column.value[k], e)), make("td", {}, off), make("td", { class: "quiet" }, q.symbol === q.name ? "" : q.name)));
  }
  const part = (group, n) => make("details", { open: n < 2 || rows[group].length < 3 }, make("summary", {}, group),
    make("table", {}, make("thead", {}, make("tr", {}, ...["", "value", "theory", "meaning"].map((h) => (h ? make("th", { scope: "col" }, h) : make("td", {}))))), make("tbody", {}, ...rows[group])));
  const charts = run.series ? ["energy", "radius", "noise_trace", "mean_grad_sq"].filter((name) => run.series[name]?.[k]?.some(finite)).slice(0, 2) : [];
  const command = run.command.replace(/\{(\d)\}/g, (_, n) => String(n === "2" ? run.steps * run.longer[k] : value(run, run.axes[Number(n)], k)));
  const places = charts.map((name) => make("div", { class: "chart", role: "img", "aria-label": `${quantity(name).name} along the steps` }));
  drawer.replaceChildren(
    make("button", { type: "button", class: "close", onclick: () => drawer.close() }, "Close"),
    make("h2", { id: "drawer-title" }, `${run.name}${run.role === "control" ? " (reference simulation)" : ""}: ${fixedText(run, k)}`),
    make("p", {}, make("button", { type: "button", class: "last-cell", "aria-label": "previous cell", onclick: () => step(-1) }, "‹"), " ", make("button", { type: "button", class: "next-cell", "aria-label": "next cell", onclick: () => step(1) }, "›"),
      ` cell ${(run.index ? run.index[k] : k) + 1} of ${run.cells}`),
    make("p", {}, make("strong", {}, status.name), `. ${status.advice.replace(/ \(`reason`[^)]*\)/, "")}`),
    run.reason?.[k] ? make("p", {}, run.reason[k]) : null,
    ...(command ? [make("p", {}, run.status[k] === 0 ? "Longer, for smaller errors:" : "To extend it:"), make("pre", { tabindex: 0 }, make("code", {}, command))] : []),
    ...places, ...Object.keys(rows).map(part));
  requestAnimationFrame(() => places.forEach((place, n) => {
    const name = charts[n], series = run.series, y = series[name][k];
    Plotly.newPlot(place, [{ x: series.step[series.step.length > 1 ? k : 0], y, mode: "lines", line: { color: colour(n), width: 1.6 } }],
      layout({ height: 175, margin: { l: 58, r: 8, t: 8, b: 38 }, xaxis: { title: "step" }, yaxis: { title: label(symbol(name)), ...scale(y) } }), CONFIG);
  }));
}

function startDrawer() {
  at("drawer").addEventListener("close", () => { if (page.opener?.isConnected) page.opener.focus(); });
  at("drawer").addEventListener("click", (event) => { if (event.target === at("drawer") && event.clientX < at("drawer").getBoundingClientRect().left) at("drawer").close(); });
}
