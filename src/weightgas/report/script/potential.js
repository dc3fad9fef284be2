// The potential of every cell at the temperature and pressure of one of them, the target, which should have the least.
const POTENTIAL = "potential";

/** Whether a cell can be a target: it is in equilibrium and has an entropy. */
const inPotential = (run, k) => run.status[k] === 0 && ["temperature", "pressure", "energy", "entropy", "volume"].every((name) => finite(value(run, name, k)));

/** U − T*S + p*V, on the sphere U − T*S, over T* and less its minimum, which is that of each radius there.
    The target is the cell that was marked last, at first one in the middle. */
function potential(run) {
  const good = run.status.map((_, k) => k).filter((k) => inPotential(run, k));
  if (!good.length) return null;
  run.target ??= good[good.length >> 1];
  const t = value(run, "temperature", run.target), p = run.projected ? 0 : value(run, "pressure", run.target);
  const of = (k) => value(run, "energy", k) - t * value(run, "entropy", k) + p * value(run, "volume", k);
  const family = (k) => (run.projected ? value(run, "radius", k) : 0), least = new Map(), usable = new Set(good);
  for (const k of good) if (!least.has(family(k)) || of(k) < of(least.get(family(k)))) least.set(family(k), k);
  return { minima: [...least.values()], symbol: run.projected ? "(F − F<sub>min</sub>)/T*" : "(𝒢 − 𝒢<sub>min</sub>)/T*", value: (k) => (usable.has(k) ? (of(k) - of(least.get(family(k)))) / t : null) };
}

/** Logarithms for its colours: the minimum has the colour of the second percent. */
function potentialColours(values) {
  const good = values.filter((x) => x > 0).sort((a, b) => a - b), high = good.at(-1) ?? 1, low = Math.max(good[Math.floor(0.02 * good.length)] ?? 0.1, 1e-4 * high);
  return { low, z: (x) => Math.log10(Math.max(x, low)), range: { zmin: Math.log10(low), zmax: Math.log10(Math.max(high, 1.01 * low)) } };
}

/** Ring around the target, stars at the minima: they should coincide. `place` gives x and y of a cell. */
function potentialMarks(run, minima, place) {
  const points = (cells, marker) => ({ x: cells.map((k) => place(k)[0]), y: cells.map((k) => place(k)[1]), mode: "markers", hoverinfo: "skip", showlegend: false, marker });
  return [points([run.target], { symbol: "circle-open", size: 15, color: variable("mark"), line: { width: 3 } }), points(minima, { symbol: "star", size: 9, color: "#ffffff", line: { width: 1, color: "#000000" } })];
}

/** A marked cell is the next target, where it can be one. */
page.hooks.cell.push((key) => {
  const [run, k] = split(key);
  if (!inPotential(run, k) || run.target === k) return;
  run.target = k;
  if (at("quantity").value !== POTENTIAL) return;
  clearTimeout(page.drawing);
  page.drawing = setTimeout(() => { for (const element of at("grid-charts").children) if (element.run === run && drawn.get(element).ready) draw(element); }, 80);
});
