// Unpacks the three blocks of the page, data, chart library and program, and starts the program.
(() => {
"use strict";
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;.=>?@^_`{|}~";
const root = document.documentElement;

/** The bytes of a text in which five characters, digits of base 85, are four bytes. */
function decoded(text) {
  const digit = new Uint8Array(128), fours = Math.ceil(text.length / 5), bytes = new DataView(new ArrayBuffer(4 * fours));
  for (let n = 0; n < 85; n += 1) digit[ALPHABET.charCodeAt(n)] = n;
  for (let four = 0; four < fours; four += 1) {
    let sum = 0;
    for (let n = 5 * four; n < 5 * four + 5; n += 1) sum = 85 * sum + (n < text.length ? digit[text.charCodeAt(n)] : 84);
    bytes.setUint32(4 * four, sum);
  }
  return new Uint8Array(bytes.buffer, 0, Math.floor((4 * text.length) / 5));
}

/** The text of a block: gzip in base 85. */
function unpack(id) {
  const stream = new Blob([decoded(document.getElementById(id).textContent.trim())]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function run(source) {
  const script = document.createElement("script");
  script.append(source);
  document.head.append(script);
}

async function load() {
  root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  if (!("DecompressionStream" in window)) throw new Error("this browser is too old for charts that react");
  const [data, library, program] = await Promise.all(["data", "library", "program"].map(unpack));
  globalThis.weightgas = data;
  run(library);
  run(program);
}
/** Lay out what is for print and for a page without this script: the static figures, which cost a third of a second. */
function unfold() {
  for (const folded of document.querySelectorAll("noscript")) folded.outerHTML = folded.textContent;
}

addEventListener("beforeprint", unfold);
load().catch((error) => { unfold(); console.warn(error); });
})();
