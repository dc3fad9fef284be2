// The published values next to those of this run, and the views of the explorer that are its figures.
const FIGURES = [["Radius and the radius law", 0, "radius", "value"], ["Pressure on the sphere", "radius", "pressure", "value"], ["Energy over temperature", "temperature", "energy", "value"],
  ["Entropy over temperature", "temperature", "entropy_direction", "value"], ["Entropy over the first hyperparameter", 0, "entropy", "value"], ["Entropy over the second hyperparameter", 1, "entropy", "value"],
  ["Temperature", 0, "temperature", "value"], ["Noise variance", 0, "noise_var", "value"], ["Potential F = U − TS", "temperature", "helmholtz", "value"], ["Potential U − TS + pV", "temperature", "gibbs", "value"]];

function paper() {
  const rows = page.data.systems[page.system]?.paper ?? [];
  at("paper").hidden = !rows.length;
  document.querySelector('.bar a[href="#paper"]').hidden = !rows.length;
  if (!rows.length) return;
  chart(at("paper-chart"), () => {
    const y = rows.map((_, n) => -n);
    const points = (value, error, name, n, up) => ({ x: rows.map((r) => r[value]), y: y.map((v) => v + up), mode: "markers", name, marker: { color: colour(n), symbol: MARKERS[n], size: 9 }, error_x: { ...bars(rows.map((r) => r[error])), color: colour(n) },
      hovertext: rows.map((r) => `${label(r.quantity)}<br>${name} ${pair(r[value], r[error])}`), hoverinfo: "text" });
    const ideal = { x: rows.map((r) => r.ideal), y, mode: "markers", name: "ideal gas", marker: { symbol: "line-ns-open", size: 22, color: variable("ink") }, hoverinfo: "skip" };
    return { traces: [ideal, points("published", "spread", "published", 1, 0.14), points("value", "error", "this run", 0, -0.14)],
      layout: { height: 110 + 40 * rows.length, showlegend: true, margin: { l: 60, r: 12, t: 14, b: 40 },
        yaxis: { tickfont: { size: innerWidth < 640 ? 9.5 : 12 }, tickvals: y, ticktext: rows.map((r) => label(r.quantity).replace(/, (?=[^,]*$)/, "<br>")), zeroline: false, showgrid: false, range: [-rows.length + 0.4, 0.6] } } };
  });
  const heads = ["quantity", "published", "this run", "ideal", "z"];
  at("paper-table").replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((h) => make("th", { scope: "col" }, h)))),
    make("tbody", {}, ...rows.map((r) => make("tr", {}, make("th", { scope: "row" }, r.quantity), ...[pair(r.published, r.spread), pair(r.value, r.error), short(r.ideal), short(r.z, 2)].map((text) => make("td", { class: "number" }, text)))))));
  const usable = (name) => ofSystem().some((run) => run.columns[name]);
  at("paper-figures").replaceChildren(...FIGURES.filter(([, x, y]) => usable(page.axis(x)) && usable(y)).map(([text, x, y, as]) => make("li", {}, make("button", { type: "button", onclick: () => {
    at("preset").value = ""; at("x").value = page.axis(x); at("y").value = y; at("as").value = as; logs(); plot();
    at("explorer").scrollIntoView(); at("explorer-chart").focus({ preventScroll: true });
  } }, text))));
}
page.hooks.system.push(paper);
