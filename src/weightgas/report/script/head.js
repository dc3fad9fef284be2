// The picture of the first screen: p–V with isotherms and cells; of a watched run its norms; else the energy along the run.
function headChart() {
  const element = at("head-chart");
  const list = ofSystem().filter((run) => run.columns.volume && run.columns.pressure);
  const some = list.filter((run) => run.columns.volume.value.some((v, k) => finite(v) && finite(value(run, "pressure", k))));
  const watched = ofSystem().find((run) => run.watched);
  if (watched) {
    at("head-caption").textContent = "Norm of every group; dashed: r*, where decay and growth would balance.";
    element.setAttribute("aria-label", at("head-caption").textContent);
    return chart(element, () => watchedTraces(watched, "radius", "norm r"), true);
  }
  if (!some.length) {
    const first = ofSystem(["run", "unjudged"]).find((run) => run.series?.energy);
    at("head-caption").textContent = "Loss of every cell along its steps.";
    element.setAttribute("aria-label", at("head-caption").textContent);
    return first ? chart(element, () => alongTraces(first, "energy"), true) : element.closest("figure").remove();
  }
  at("head-caption").textContent = "Pressure over volume. Lines: isotherms pV = RT of an ideal gas at the temperature of their colour. Filled: in equilibrium.";
  element.setAttribute("aria-label", `${at("head-caption").textContent} Arrow keys move through the cells, Enter opens one.`);
  return chart(element, () => pressureVolume(some), true);
}

function pressureVolume(list) {
  const cells = list.flatMap((run) => run.status.map((status, k) => ({ run, k, status, v: value(run, "volume", k), p: value(run, "pressure", k), t: value(run, "temperature", k) })))
    .filter((c) => finite(c.v) && finite(c.p) && c.v > 0 && c.p > 0);
  const good = cells.filter((c) => c.status === 0 && finite(c.t) && c.t > 0), temperatures = good.map((c) => Math.log10(c.t)).sort((a, b) => a - b);
  const low = temperatures[0], high = temperatures.at(-1);
  const traces = [];
  if (temperatures.length) {
    const volumes = cells.map((c) => c.v), v0 = Math.min(...volumes) / 1.3, v1 = Math.max(...volumes) * 1.3;
    const levels = high - low < 0.02 ? [(low + high) / 2] : [0, 1, 2, 3, 4].map((n) => low + ((high - low) * n) / 4);
    for (const level of levels) {
      const x = Array.from({ length: 40 }, (_, n) => v0 * (v1 / v0) ** (n / 39)), rt = list[0].R * 10 ** level;
      traces.push({ x, y: x.map((v) => rt / v), mode: "lines", showlegend: false, line: { width: 1.2, color: viridis((level - low) / (high - low || 1)) }, hoverinfo: "skip" });
    }
  }
  const pMin = Math.min(...cells.map((c) => c.p)) / 1.5, pMax = Math.max(...cells.map((c) => c.p)) * 1.5;
  list.forEach((run, n) => {
    const here = cells.filter((c) => c.run === run);
    traces.push({ x: here.map((c) => c.v), y: here.map((c) => c.p), mode: "markers", name: label(run.name), customdata: here.map((c) => cellKey(run, c.k)),
      error_y: bars(here.map((c) => error(run, "pressure", c.k))), error_x: bars(here.map((c) => error(run, "volume", c.k))),
      hovertext: here.map((c) => hover(run, c.k, "pressure", "volume", "temperature", "compressibility")), hoverinfo: "text",
      marker: { symbol: here.map((c) => MARKERS[n % 7] + (c.status === 0 ? "" : "-open")), size: 8, color: here.map((c) => (finite(c.t) && c.t > 0 ? Math.log10(c.t) : low)),
        colorscale: scheme(), cmin: low, cmax: high, line: { width: 1, color: variable("soft") }, showscale: n === 0 && temperatures.length > 1,
        colorbar: { title: { text: "T", side: "top" }, thickness: 9, len: 0.9, ...ticks(low, high) } } });
  });
  return { traces, layout: { height: innerWidth < 640 ? 300 : 400, fixed: true, margin: { l: 64, r: 12, t: list.length > 1 ? 34 : 14, b: 46 }, showlegend: list.length > 1, legend: { orientation: "h", y: 1.01, yanchor: "bottom", x: 0 },
    xaxis: { title: axisTitle("volume"), ...scale(cells.map((c) => c.v), true) },
    yaxis: { title: axisTitle("pressure"), ...scale(cells.map((c) => c.p), true), range: cells.length ? [Math.log10(pMin), Math.log10(pMax)] : undefined } } };
}

/** Viridis; on dark ground a scale without its dark end. */
const SCALES = { dark: [[0, "#8f7be0"], [0.13, "#7a86e6"], [0.25, "#5f9be3"], [0.38, "#46b0d3"], [0.5, "#37c2b5"], [0.63, "#56d08c"], [0.75, "#8bdb66"], [0.88, "#c5e45a"], [1, "#fbf27a"]],
  light: [[0, "#440154"], [0.13, "#472f7d"], [0.25, "#3b528b"], [0.38, "#2c728e"], [0.5, "#21918c"], [0.63, "#28ae80"], [0.75, "#5ec962"], [0.88, "#addc30"], [1, "#f0e51d"]] };
const scheme = () => SCALES[dark() ? "dark" : "light"];
function viridis(x) {
  const VIRIDIS = scheme(), n = Math.min(VIRIDIS.length - 2, Math.max(0, Math.floor(x * 8))), share = Math.min(1, Math.max(0, x * 8 - n));
  const part = (text, k) => parseInt(text.slice(1 + 2 * k, 3 + 2 * k), 16);
  return `rgb(${[0, 1, 2].map((k) => Math.round(part(VIRIDIS[n][1], k) * (1 - share) + part(VIRIDIS[n + 1][1], k) * share)).join(",")})`;
}

/** Ticks of a colour bar of logarithms: at most six numbers. */
function ticks(low, high) {
  const all = [];
  for (let e = Math.floor(low) - 1; e <= high + 1; e += 1) for (const m of high - low > 2.5 ? [1] : high - low > 0.7 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8]) {
    const x = e + Math.log10(m);
    if (x >= low - 1e-9 && x <= high + 1e-9) all.push(x);
  }
  return { tickvals: all, ticktext: all.map((x) => short(10 ** x, 2)) };
}

/** Error bars, one standard error; none where no error is known. */
function bars(errors) {
  if (!errors.some((e) => finite(e) && e > 0)) return { visible: false };
  return { type: "data", array: errors.map((e) => e ?? 0), thickness: 1, width: 0, color: variable("open") };
}

/** One quantity along the steps of the cells of a run, a line for each of at most 12. */
function alongTraces(run, name) {
  const count = run.series[name].length, kept = Array.from({ length: Math.min(12, count) }, (_, n) => Math.round((n * (count - 1)) / Math.max(1, Math.min(12, count) - 1)));
  const traces = kept.map((k, n) => ({ x: run.series.step[run.series.step.length > 1 ? k : 0], y: run.series[name][k], mode: "lines", name: label(fixedText(run, k)),
    line: { width: 1.4, color: kept.length > 1 ? viridis(n / kept.length) : colour(0) }, hovertext: label(describe(cellKey(run, k))), hoverinfo: "text+y" }));
  const all = kept.flatMap((k) => run.series[name][k]);
  return { traces, layout: { xaxis: { title: "step", ...scale(run.series.step[0]) }, yaxis: { title: axisTitle(name), ...scale(all) } } };
}

const fixedText = (run, k) => run.axes.map((axis) => `${symbol(axis)} ${short(value(run, axis, k), 3)}`).join(", ");

/** The groups of a watched run along its steps. */
function watchedTraces(run, name, text) {
  const { step, groups } = run.watched, traces = [];
  groups.forEach((group, n) => {
    const shade = groups.length > 7 ? viridis(n / groups.length) : colour(n);
    traces.push({ x: step, y: group[name], mode: "lines", name: label(group.name), line: { width: 1.6, color: shade }, hovertext: label(`${group.name}: ${group.status}`), hoverinfo: "text+x+y" });
    if (name === "radius") traces.push({ x: step, y: group.star, mode: "lines", showlegend: false, line: { width: 1, dash: "dash", color: shade }, hoverinfo: "skip" });
  });
  return { traces, layout: { height: name === "radius" ? 400 : undefined, showlegend: groups.length < 8, xaxis: { title: "step" }, yaxis: { title: text, ...scale(groups.flatMap((g) => g[name]), true) } } };
}

