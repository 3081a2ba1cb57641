"use strict";
// What the page knows: blocks of deflated JSON, each unpacked once, when it is needed.

const at = (id) => document.getElementById(id);
const element = (tag, text, className) => {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = visible(String(text));
  if (className) made.className = className;
  return made;
};
// Control characters have no picture of their own: those of Unicode stand for them.
const visible = (text) => text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)));

const unpacked = new Map();
const unpack = (id) => {
  if (!unpacked.has(id)) {
    const raw = atob(at(id).textContent), bytes = new Uint8Array(raw.length);
    for (let n = 0; n < raw.length; n++) bytes[n] = raw.charCodeAt(n);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    unpacked.set(id, new Response(stream).json());
  }
  return unpacked.get(id);
};

// Long texts stand in a block of their own, once: `$shared` is the place of one, `$joined` a text made of pieces.
const whole = (value, shared) => {
  if (Array.isArray(value)) return value.map((each) => whole(each, shared));
  if (value === null || typeof value !== "object") return value;
  if ("$shared" in value) return shared[value.$shared];
  if ("$joined" in value) return value.$joined.map((each) => whole(each, shared)).join("");
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, whole(each, shared)]));
};
const detailOf = async (place) => {
  const block = await unpack("rows-" + Math.floor(place / table.size));
  return whole(block[place % table.size], await unpack("shared"));
};

let table;
const isComparison = () => table.before !== undefined;
const nameOf = (place) => table.id[place] + (table.repeat && table.repeat[place] ? "#" + table.repeat[place] : "");
const isMissing = (value) => value === null || value === undefined;
const isApart = (value) => !isMissing(value) && typeof value === "object";
const rounded = (value) => String(Math.round(value * 1000) / 1000);

// -- words ---------------------------------------------------------------------------------------------------
const DIFF_WORDS = 1500;
const wordsOf = (text) => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) || [];
// Pairs of "same", "old" or "new", and a piece of text.
const wordDiff = (before, after) => {
  const a = wordsOf(before), b = wordsOf(after);
  let head = 0, tail = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const x = a.slice(head, a.length - tail), y = b.slice(head, b.length - tail);
  const found = [["same", a.slice(0, head).join("")]];
  if (x.length > DIFF_WORDS || y.length > DIFF_WORDS) found.push(["old", x.join("")], ["new", y.join("")]);
  else found.push(...longestCommon(x, y));
  found.push(["same", a.slice(a.length - tail).join("")]);
  return joined(found);
};
// Changed words that only white space lies between are one change.
const joined = (pieces) => {
  const found = [], change = { old: "", new: "" };
  let gap = "";
  const flush = () => {
    for (const kind of ["old", "new"]) if (change[kind]) found.push([kind, change[kind]]);
    if (gap) found.push(["same", gap]);
    change.old = change.new = gap = "";
  };
  for (const [kind, text] of pieces) {
    const isChanging = change.old || change.new;
    if (kind !== "same") {
      if (gap) { change.old += gap; change.new += gap; gap = ""; }
      change[kind] += text;
    } else if (isChanging && !text.trim()) gap += text;
    else if (text) { flush(); found.push([kind, text]); }
  }
  flush();
  return found;
};
const longestCommon = (x, y) => {
  const width = y.length + 1, lengths = new Uint16Array((x.length + 1) * width);
  for (let i = x.length - 1; i >= 0; i--)
    for (let j = y.length - 1; j >= 0; j--)
      lengths[i * width + j] = x[i] === y[j] ? lengths[(i + 1) * width + j + 1] + 1
        : Math.max(lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
  const found = [];
  let i = 0, j = 0;
  while (i < x.length || j < y.length) {
    if (i < x.length && j < y.length && x[i] === y[j]) { found.push(["same", x[i++]]); j++; }
    else if (j >= y.length || (i < x.length && lengths[(i + 1) * width + j] >= lengths[i * width + j + 1])) found.push(["old", x[i++]]);
    else found.push(["new", y[j++]]);
  }
  return found;
};
