// Walks the documentation in Chromium and prints what a reader meets, as JSON. usage: node site.mjs CHROMIUM SITE
import { readFileSync, readdirSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join, relative } from "node:path";
import puppeteer from "puppeteer-core";

const [executablePath, site] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const WORDS = ["simulate", "install", "plot", "lightning", "temperature"];
const LOOKED_AT = ["index", "tutorials/first-grid", "how-to/trainers", "reference/formulas", "reference/api/weightgas.simulate"];
const out = { pages: [], outside: [], errors: [], clipped: [], broken: [], cut: [], scrolled: [], formulas: 0, wrong_formulas: 0, search: {}, axe: [] };

const walk = (folder) => readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? walk(join(folder, entry.name)) : entry.name.endsWith(".html") ? [join(folder, entry.name)] : []);
const server = createServer((request, response) => {
  try {
    const file = join(site, decodeURIComponent(new URL(request.url, "http://here").pathname));
    const found = readFileSync(file);
    response.writeHead(200, { "content-type": TYPES[extname(file)] || "application/octet-stream" });
    response.end(found);
  } catch { response.writeHead(404); response.end(); }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const base = `http://127.0.0.1:${server.address().port}/`;
const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage();
await page.setViewport({ width: 1280, height: 900 });
page.on("request", (request) => { if (!request.url().startsWith(base) && !request.url().startsWith("data:")) out.outside.push(request.url()); });
page.on("response", (response) => { if (response.status() >= 400 && !response.url().endsWith("favicon.ico")) out.errors.push(response.url()); });
page.on("pageerror", (error) => out.errors.push(String(error)));

for (const file of walk(site).map((path) => relative(site, path)).filter((name) => !name.startsWith("_static"))) {
  out.pages.push([file, statSync(join(site, file)).size]);
  if (file.includes("api/weightgas.") && !LOOKED_AT.includes(file.replace(".html", ""))) continue; // alike, and many
  await page.goto(base + file, { waitUntil: "load" });
  const found = await page.evaluate(() => {
    const wide = [...document.querySelectorAll("article table")].filter((table) => {
      const box = table.parentElement;
      return box.scrollWidth > box.clientWidth + 1 || table.getBoundingClientRect().right > innerWidth;
    });
    const lines = (text, found) => {
      const range = document.createRange();
      range.setStart(text, found.index);
      range.setEnd(text, found.index + found[0].length);
      return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size;
    };
    const broken = [...document.querySelectorAll("article td")].flatMap((cell) => [...cell.childNodes])
      .filter((node) => node.nodeType === Node.TEXT_NODE)
      .flatMap((text) => [...text.textContent.matchAll(/[\d.]+/g)].filter((found) => lines(text, found) > 1).map((found) => found[0]));
    const cut = [...document.querySelectorAll(".katex-display")].filter((formula) => {
      const box = formula.closest(".math").getBoundingClientRect();
      return [...formula.querySelectorAll(".katex-html > .base")].map((part) => part.getBoundingClientRect())
        .some((part) => part.left < box.left - 1 || part.right > box.right + 1);
    });
    const scrolled = [...document.querySelectorAll("article pre")].filter((block) => block.scrollWidth > block.clientWidth + 1);
    return { scrolled: scrolled.map((block) => block.innerText.slice(0, 60)), clipped: wide.map((table) => table.innerText.slice(0, 60)), broken, cut: cut.map((formula) => formula.innerText.slice(0, 60)), formulas: document.querySelectorAll(".katex").length,
      wrong: document.querySelectorAll(".katex-error").length };
  });
  out.clipped.push(...found.clipped.map((text) => `${file}: ${text}`));
  out.broken.push(...found.broken.map((text) => `${file}: ${text}`));
  out.cut.push(...found.cut.map((text) => `${file}: ${text}`));
  out.scrolled.push(...found.scrolled.map((text) => `${file}: ${text}`));
  out.formulas += found.formulas;
  out.wrong_formulas += found.wrong;
}
for (const word of WORDS) {
  await page.goto(`${base}search.html?q=${word}`, { waitUntil: "load" });
  await page.waitForFunction(() => document.querySelectorAll("#search-results ul.search li").length > 2, { timeout: 60000 });
  await new Promise((resolve) => setTimeout(resolve, 1500)); // results arrive one by one
  out.search[word] = await page.evaluate(() => [...document.querySelectorAll("#search-results ul.search li > a")].slice(0, 3).map((a) => a.getAttribute("href").split("?")[0]));
}
for (const name of LOOKED_AT) for (const theme of ["light", "dark"]) {
  await page.evaluateOnNewDocument((mode) => { localStorage.setItem("mode", mode); localStorage.setItem("theme", mode); }, theme);
  await page.goto(`${base}${name}.html`, { waitUntil: "load" });
  await page.evaluate(axe);
  const found = await page.evaluate(async () => (await window.axe.run()).violations
    .filter((one) => ["serious", "critical"].includes(one.impact)).map((one) => `${one.id}: ${one.nodes[0].html}`));
  out.axe.push(...found.map((text) => `${name} ${theme} ${text}`));
}
await browser.close();
server.close();
process.stdout.write(JSON.stringify(out));
