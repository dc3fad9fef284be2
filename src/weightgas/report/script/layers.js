// The gases of the layers; of a watched run its groups along the steps; of runs that claim no stationary state, their steps.
function layers() {
  const list = ofSystem().filter((run) => run.layers?.part.length > 1), watched = ofSystem().find((run) => run.watched), along = ofSystem(["unjudged"]).find((run) => run.series);
  const host = at("layers-charts"), parts = [];
  const panel = (text, build) => { const element = make("div", { class: "chart", role: "group", tabindex: 0, "aria-label": text }); parts.push(element); chart(element, build); };
  if (list.length) for (const [name, text] of [["temperature_ratio", "T of the layer over that of the network"], ["pressure_ratio", "p of the layer over that of the network"], ["heat_share", "share of RT"]]) panel(text, () => layerTraces(list, name, text));
  if (watched) {
    panel("Effective learning rate of every group", () => watchedTraces(watched, "elr", "effective learning rate η/r²"));
    panel("Angle of a step of every group", () => watchedTraces(watched, "angle", "angle of a step (rad)"));
    panel("Budget of all groups", () => ({ traces: [["decay", "decay"], ["growth", "alignment and update term"]].map(([name, text], n) => ({ x: watched.watched.step, y: watched.watched.budget[name], mode: "lines", name: text, line: { color: colour(n), dash: n ? "dot" : "solid" } })),
      layout: { showlegend: true, xaxis: { title: "step" }, yaxis: { title: "share of r² a step", ...scale(Object.values(watched.watched.budget).flat()) } } }));
  }
  if (along) for (const name of ["energy", "radius_change", "noise_trace", "mean_grad_sq"].filter((n) => along.series[n])) panel(`${name} along the run`, () => alongPanel(along, name));
  at("layers").hidden = !parts.length;
  const link = document.querySelector('.bar a[href="#layers"]');
  link.hidden = !parts.length;
  at("layers-title").textContent = link.textContent = list.length ? "Layers" : watched ? "Groups" : "Along the run";
  at("layers-text").hidden = !list.length;
  at("layers-note").textContent = [...list.map((run) => `${run.name}: ΣV_i/V ${run.layers.sums.volume_sum}, Σp_iV_i/pV ${run.layers.sums.work_sum}, ΣR_iT_i/RT ${run.layers.sums.heat_sum}.`),
    watched && watched.watched.total > watched.watched.groups.length ? `${watched.watched.groups.length} of ${watched.watched.total} groups, evenly spaced.` : "",
    along ? `${along.name}: a run without a claimed stationary state. Where loss, noise and gradient continue to fall together there is no temperature; r − r₀ is relative to the first sample. Dark to light: ${fixedText(along, 0)} to ${fixedText(along, along.status.length - 1)}.` : ""].filter(Boolean).join(" ");
  host.replaceChildren(...parts);
}

function alongPanel(run, name) {
  if (name !== "radius_change") return alongTraces(run, name);
  const out = alongTraces(run, name);
  out.layout.yaxis.title = "change of the norm, r − r₀";
  return out;
}

function layerTraces(list, name, text) {
  const traces = list.map((run, n) => ({ x: run.layers.part.map((p) => label(p)), y: run.layers[name].value, mode: "markers", name: label(run.name), error_y: { ...bars(run.layers[name].error), color: colour(n) }, marker: { color: colour(n), symbol: MARKERS[n], size: 9 },
    hovertext: run.layers.part.map((p, k) => `${label(`${run.name}, ${p}: ${run.layers.groups[k]} groups, dof ${run.layers.dof[k]}`)}<br>${pair(run.layers[name].value[k], run.layers[name].error[k])}`), hoverinfo: "text" }));
  const values = traces.flatMap((t) => t.y).filter(finite), flat = Math.max(...values) - Math.min(...values) < 0.02;
  return { traces, layout: { showlegend: list.length > 1, xaxis: { type: "category" }, yaxis: { title: text, ...(flat ? { range: [Math.min(...values) - 0.05, Math.max(...values) + 0.05] } : {}) } } };
}
page.hooks.system.push(layers);
