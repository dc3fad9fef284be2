// The diagnostic tests: a forest plot over all runs of a system and its controls, and the tests along temperature; the law.
function forest() {
  const list = ofSystem(["run", "control"]), rows = [];
  for (const hypothesis of Object.keys(page.data.hypotheses)) {
    const names = new Map();
    for (const run of list) for (const level of run.levels.filter((l) => l.number === 3)) for (const check of level.checks) {
      if (check.hypothesis === hypothesis && finite(check.value) && finite(check.expected) && check.expected !== 0 && check.value / check.expected > 0) {
        if (!names.has(check.name)) names.set(check.name, []);
        names.get(check.name).push([run, check]);
      }
    }
    const shown = [...names].filter(([, found]) => found.some(([run]) => run.role === "run"));
    for (const [name, found] of shown) rows.push({ name: `${hypothesis}  ${name}`, found });
  }
  const element = at("forest");
  at("tests").hidden = !rows.length && !ofSystem().some((run) => Object.keys(run.tests ?? {}).length);
  document.querySelector('.bar a[href="#tests"]').hidden = at("tests").hidden;
  if (!rows.length) { element.hidden = true; return; }
  element.hidden = false;
  chart(element, () => forestTraces(rows, list));
}

function forestTraces(rows, list) {
  const traces = [], own = list.filter((r) => r.role === "run"), controls = list.filter((r) => r.role === "control"), lane = [...own, ...controls];
  const position = (row, run) => -row - 0.36 + 0.72 * ((lane.indexOf(run) + 0.5) / lane.length);
  for (const run of lane) {
    const x = [], y = [], one = [], text = [];
    rows.forEach((row, n) => row.found.filter(([r]) => r === run).forEach(([, check]) => {
      x.push(check.value / check.expected); y.push(position(n, run)); one.push((check.error ?? 0) / Math.abs(check.expected));
      text.push(`${label(run.role === "control" ? `reference simulation, ${run.name}` : run.name)}<br>${label(check.name)}: ${check.text}, expected ${short(check.expected)}<br>${label(check.outcome)}`);
    }));
    const control = run.role === "control", n = control ? 6 : own.indexOf(run), shade = control ? variable("open") : colour(n);
    const wide = { x, y, mode: "markers", hoverinfo: "skip", showlegend: false, marker: { size: 1, color: shade }, error_x: { type: "data", array: one.map((e) => 2 * e), thickness: 1, width: 0, color: shade } };
    const narrow = { x, y, mode: "markers", name: label(control ? "reference simulations" : run.name), legendgroup: control ? "controls" : run.name, showlegend: !control || run === controls[0], legendrank: control ? 1200 : 1000,
      hovertext: text, hoverinfo: "text", error_x: { type: "data", array: one, thickness: control ? 1 : 3, width: 0, color: shade },
      marker: { size: control ? 6 : 9, color: shade, symbol: control ? "circle-open" : MARKERS[n % 7] } };
    traces.push(wide, narrow);
    const explained = rows.flatMap((row, n2) => row.found.filter(([r, c]) => r === run && run.explained[c.key]).map(([, c]) => [run.explained[c.key], position(n2, run), c]));
    if (explained.length) traces.push({ x: explained.map(([e]) => e[0]), y: explained.map(([, p]) => p), mode: "markers", name: "explained", legendgroup: "explained", showlegend: run === own[0], legendrank: 1100,
      marker: { symbol: "diamond-open", size: 11, color: shade, line: { width: 2 } },
      error_x: { type: "data", symmetric: false, array: explained.map(([e]) => e[2] - e[0]), arrayminus: explained.map(([e]) => e[0] - e[1]), thickness: 1, width: 4, color: shade },
      hovertext: explained.map(([e, , c]) => `${label(run.name)}<br>${label(c.name)}, explained: ${short(e[0])} (${short(e[1])} to ${short(e[2])})`), hoverinfo: "text" });
  }
  const values = traces.flatMap((t) => t.x);
  return { traces, layout: { height: 100 + rows.length * Math.max(36, 5.5 * lane.length), showlegend: true, margin: { l: innerWidth < 640 ? 60 : 150, r: 12, t: 14, b: 46 },
    xaxis: { title: "measured over expected", ...scale(values, Math.max(...values) / Math.min(...values) > 3) },
    yaxis: { tickfont: { size: innerWidth < 640 ? 9.5 : 12 }, tickvals: rows.map((_, n) => -n), ticktext: rows.map((row) => label(row.name).replace(/^(.{8,}?), /, "$1,<br>")), range: [-rows.length + 0.4, 0.6], showgrid: false, zeroline: false },
    shapes: [{ type: "line", x0: 1, x1: 1, yref: "paper", y0: 0, y1: 1, line: { color: variable("ink"), width: 1.2 } }] } };
}

function alongTemperature() {
  const list = ofSystem().filter((run) => run.tests && Object.keys(run.tests).length), element = at("along-temperature");
  element.hidden = !list.length;
  at("tests-note").textContent = list.length ? "Over temperature: the tests of C between neighbouring temperatures, T_conf/T in each cell; vertical lines are standard errors." : "";
  if (!list.length) return;
  const names = [...new Set(list.flatMap((run) => Object.keys(run.tests)))];
  chart(element, () => {
    const traces = list.flatMap((run, n) => names.filter((name) => run.tests[name]).map((name) => {
      const found = run.tests[name];
      return { x: found.temperature, y: found.ratio, mode: "markers", name: label(`${name}, ${run.name}`), error_y: bars(found.error), hoverinfo: "text",
        hovertext: found.temperature.map((t, k) => `${label(`${run.name}: ${name}`)} = ${pair(found.ratio[k], found.error[k])}<br>T = ${short(t)}`),
        marker: { color: colour(n), symbol: MARKERS[names.indexOf(name)] + (names.indexOf(name) ? "-open" : ""), size: 7 } };
    }));
    const y = traces.flatMap((t) => t.y).filter((v) => v > 0);
    return { traces, layout: { height: 430, showlegend: traces.length < 10, xaxis: { title: "temperature T", ...scale(traces.flatMap((t) => t.x), true) },
      yaxis: { title: "measured over expected", ...scale(y, Math.max(...y) / Math.min(...y) > 5) },
      shapes: [{ type: "line", y0: 1, y1: 1, xref: "paper", x0: 0, x1: 1, line: { color: variable("ink"), width: 1.2 } }] } };
  });
}

/** The virial law and the gain of annealing, where a run has them. */
function law() {
  const has = (name) => ofSystem().some((run) => run.columns[name]);
  const parts = [["virial_cost", "law-chart"], ["annealing_fall", "annealing-chart"]].filter(([name]) => has(name));
  at("law").hidden = !parts.length;
  document.querySelector('.bar a[href="#law"]').hidden = !parts.length;
  for (const [name, id] of [["virial_cost", "law-chart"], ["annealing_fall", "annealing-chart"]]) at(id).hidden = !has(name);
  for (const [name, id] of parts) {
    chart(at(id), () => {
      const list = ofSystem().filter((run) => run.columns[name]);
      const traces = list.map((run, n) => cloud(run, n, run.status.map((_, k) => k), name === "virial_cost" ? (k) => theory(run, name, k) : (k) => value(run, "temperature", k), name));
      const x = traces.flatMap((t) => t.x).filter((v) => finite(v) && v > 0), y = traces.flatMap((t) => t.y);
      const ends = [Math.min(...x), Math.max(...x)];
      if (name === "virial_cost") traces.push({ x: ends, y: ends, mode: "lines", hoverinfo: "skip", showlegend: false, line: { color: variable("ink"), width: 1.2 } });
      return { traces, layout: { height: 330, showlegend: true, xaxis: { title: name === "virial_cost" ? "heat pV" : "temperature T", ...scale(x, true) }, yaxis: { title: axisTitle(name), ...scale(y) } } };
    });
  }
}

/** Points of the cells of a run, with error bars; hollow where not in equilibrium. */
function cloud(run, n, all, x, name, y = (k) => value(run, name, k), e = (k) => error(run, name, k), xName = null) {
  const cells = all.filter((k) => finite(x(k)) && finite(y(k)));
  return { x: cells.map(x), y: cells.map(y), mode: "markers", name: label(longName(run)), customdata: cells.map((k) => cellKey(run, k)),
    hovertext: cells.map((k) => hover(run, k, name, ...(xName ? [xName] : []), "temperature")), hoverinfo: "text", error_y: { ...bars(cells.map(e)), color: colour(n) },
    ...(xName ? { error_x: { ...bars(cells.map((k) => error(run, xName, k))), color: colour(n) } } : {}),
    marker: { color: colour(n), size: 7, symbol: cells.map((k) => MARKERS[n % 7] + (run.status[k] === 0 ? "" : "-open")) } };
}

/** The checks of the reference simulations, below those of the runs in the table of every check. */
function controlChecks() {
  const body = document.querySelector("#checks tbody");
  for (const run of runs().filter((one) => one.role === "control")) {
    body.append(make("tr", { class: "group" }, make("th", { colspan: 6, scope: "rowgroup" }, `${run.title} (reference simulation, ${run.expected})`)));
    for (const level of run.levels) for (const check of level.checks) body.append(make("tr", {}, make("td", {}, `${level.number}${check.hypothesis}`), make("th", { scope: "row" }, check.name),
      make("td", { class: "number" }, check.text), make("td", { class: "number" }, short(check.expected)), make("td", {}, check.outcome), make("td", {}, check.note)));
  }
}

page.hooks.system.push(forest, alongTemperature, law);
