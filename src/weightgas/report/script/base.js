// What all parts share: elements, numbers, the look. Text of the data goes into the page as text alone.
const root = document.documentElement;
const at = (id) => document.getElementById(id);
const page = { data: JSON.parse(globalThis.weightgas), hooks: { cell: [], look: [], system: [] } };

/** An element with attributes, listeners (onclick: f) and children, which are elements or text. */
function make(tag, attributes = {}, ...children) {
  const found = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) found.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) found.setAttribute(name, value === true ? "" : value);
  }
  found.append(...children.filter((child) => child !== null && child !== undefined));
  return found;
}

/** A select with options [value, text] or {group: [[value, text]]}. */
function fill(select, options, value) {
  const option = ([key, text]) => make("option", { value: key }, text);
  const groups = Array.isArray(options) ? options.map(option)
    : Object.entries(options).map(([group, list]) => make("optgroup", { label: group }, ...list.map(option)));
  select.replaceChildren(...groups);
  if (value !== undefined) select.value = value;
}

const finite = (x) => typeof x === "number" && Number.isFinite(x);
const minus = (text) => text.replace(/-/g, "−");

/** A number with four digits. */
function short(x, digits = 4) {
  if (!finite(x)) return "–";
  if (x !== 0 && (Math.abs(x) < 1e-3 || Math.abs(x) >= 1e5)) {
    const [m, e] = x.toExponential(Math.max(0, digits - 1)).split("e");
    const mantissa = m.includes(".") ? m.replace(/\.?0+$/, "") : m;
    return minus(`${mantissa === "1" ? "" : `${mantissa}·`}10${superscript(Number(e))}`);
  }
  return minus(String(Number(x.toPrecision(digits))));
}
const superscript = (n) => [...String(n)].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");

/** Value and standard error, rounded together to two digits of the error: 1.013 ± 0.012. */
function pair(value, error) {
  if (!finite(value)) return "–";
  if (!finite(error) || error <= 0) return short(value);
  if (error <= 2 ** -24 * Math.abs(value)) return short(value); // a rounding error of single precision, as in rounding.py
  const exponent = (x, digits) => (x ? Number(x.toExponential(digits).split("e")[1]) : -Infinity), places = 1 - exponent(error, 1);
  const power = Math.max(exponent(Number(value.toFixed(Math.max(0, Math.min(places, 100)))), 12), exponent(error, 1));
  if (power > 5 || (power < -3 && places > 6)) return `(${pair(value / 10 ** power, error / 10 ** power)})·10${superscript(power)}`;
  const cut = (x) => (places >= 0 ? x.toFixed(Math.min(places, 100)) : String(Math.round(x / 10 ** -places) * 10 ** -places));
  return minus(`${cut(value)} ± ${cut(error)}`);
}

/** Text for plotly, which reads marks of HTML in labels. */
const label = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

const quantity = (name) => page.data.quantities[name] || { symbol: name, name, units: "", group: "" };
const symbol = (name) => quantity(name).symbol;
const titled = (name) => {
  const q = quantity(name);
  return `${q.symbol === q.name ? "" : `${q.symbol}, `}${q.name}${q.units ? ` (${q.units})` : ""}`;
};
const axisTitle = (name) => {
  const q = quantity(name);
  const text = q.symbol === q.name || !q.symbol ? q.name : `${q.name} ${q.symbol}`;
  return label(text.length > 32 && q.symbol ? q.symbol : text) + (q.units && q.units !== "step" ? ` (${label(q.units)})` : "");
};

const PALETTE = {
  light: ["#0072B2", "#D55E00", "#008060", "#B0528C", "#A87400", "#2B87B8", "#333333"],
  dark: ["#56B4E9", "#F2A65A", "#2FC9A0", "#E59CC8", "#F0C75E", "#9CC9E8", "#DDDDDD"],
};
const MARKERS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x"];
const dark = () => root.dataset.theme === "dark";
const colour = (n) => PALETTE[dark() ? "dark" : "light"][n % 7];
const variable = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

/** A term of the glossary: its meaning is shown while it is pointed at or has the focus. */
function term(name, text = symbol(name)) {
  const q = quantity(name);
  const meaning = `${q.name}${q.equation ? ` = ${q.equation}` : ""}${q.units ? ` (${q.units})` : ""}`;
  const found = make("span", { class: "term" }, text);
  const show = () => {
    const tip = at("tip"), box = found.getBoundingClientRect();
    tip.textContent = meaning;
    tip.hidden = false;
    tip.style.left = `${Math.min(box.left, innerWidth - tip.offsetWidth - 8) + scrollX}px`;
    tip.style.top = `${box.bottom + scrollY + 4}px`;
  };
  const hide = () => { at("tip").hidden = true; };
  const host = found;
  host.addEventListener("mouseenter", show);
  host.addEventListener("mouseleave", hide);
  found.tip = { show, hide };
  return found;
}
