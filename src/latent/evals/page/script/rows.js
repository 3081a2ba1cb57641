// All rows: searched, filtered, sorted; only those in view exist as elements.

const ROW = 36, SPARE = 12;
let texts, shown = [], selected = 0, open = null;
const NO_STATE = { q: "", outcome: "", metric: "", score: "", slice: "", sort: "", desc: false, row: "" };
const state = { ...NO_STATE };

// -- state in the address, so that a view can be sent to somebody ---------------------------------------------
const readHash = () => {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(state)) state[name] = given.get(name) || "";
  state.desc = state.desc === "1";
};
const writeHash = () => {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) if (value) given.set(name, value === true ? "1" : value);
  history.replaceState(null, "", "#" + given);
};

// -- which rows are shown -------------------------------------------------------------------------------------
const middles = new Map();
const middle = (metric) => {
  if (!middles.has(metric.name)) {
    const values = table.values[metric.name].filter((v) => typeof v === "number").sort((a, b) => a - b);
    middles.set(metric.name, metric.scale ? (metric.scale[0] + metric.scale[1]) / 2 : values[values.length >> 1]);
  }
  return middles.get(metric.name);
};
const number = (test) => (v) => typeof v === "number" && test(v);
const scoreTests = (metric) => {
  const tests = {};
  if (isComparison()) {
    const before = table.before[metric.name];
    tests["any flip"] = (v, place) => worth(metric, before[place], v) !== null;
    tests.better = (v, place) => worth(metric, before[place], v) > 0;
    tests.worse = (v, place) => worth(metric, before[place], v) < 0;
  }
  if (metric.kind === "label")
    for (const label of [...new Set(table.values[metric.name].filter((v) => typeof v === "string"))].sort())
      tests[label] = (v) => v === label;
  else if (metric.kind === "binary") Object.assign(tests, { no: number((v) => v === 0), yes: number((v) => v === 1) });
  else
    Object.assign(tests, { "low half": number((v) => v < middle(metric)), "high half": number((v) => v >= middle(metric)) });
  tests.missing = isMissing;
  tests["not applicable"] = isApart;
  const flips = new Set((table.flips || {})[metric.name] || []);
  if (flips.size) tests.flips = (v, place) => flips.has(place);
  const people = (table.people || {})[metric.name];
  if (people) tests["people disagree"] = (v, place) => place in people && !isMissing(v) && String(people[place]) !== String(v);
  return tests;
};
// Of two scores of a row: above 0 when the new one is better, below when it is worse, 0 where neither, null when equal.
const worth = (metric, old, now) => {
  if (isMissing(old) || isMissing(now) || isApart(old) || isApart(now) || old === now) return null;
  if (typeof old !== "number" || typeof now !== "number" || metric.higher === null) return 0;
  return (now > old) === metric.higher ? 1 : -1;
};
const choose = () => {
  const metric = table.metrics.find((each) => each.name === state.metric);
  const test = metric && scoreTests(metric)[state.score];
  const words = state.q.toLowerCase();
  const split = state.slice.indexOf("=");
  const column = table.slices[state.slice.slice(0, split)], value = state.slice.slice(split + 1);
  shown = [];
  for (let place = 0; place < table.id.length; place++) {
    if (state.outcome && table.outcome[place] !== state.outcome) continue;
    if (test && !test(table.values[metric.name][place], place)) continue;
    if (column && column[place] !== value) continue;
    if (words && !texts[place].includes(words)) continue;
    shown.push(place);
  }
  sortShown();
  selected = Math.min(selected, Math.max(shown.length - 1, 0));
  const count = (n) => n.toLocaleString("en");
  at("count").textContent = `${count(shown.length)} of ${count(table.id.length)}`;
  at("none").hidden = shown.length > 0;
  at("grid").setAttribute("aria-rowcount", shown.length + 1);
  at("list").style.height = shown.length * ROW + "px";
  draw();
};
const sortShown = () => {
  if (!state.sort) return;
  const values = table.values[state.sort] || table[state.sort] || [];
  const rank = (v) => (isMissing(v) || isApart(v) ? -Infinity : v);
  const sign = state.desc ? -1 : 1;
  shown.sort((a, b) => {
    const [x, y] = [rank(values[a]), rank(values[b])];
    return x < y ? -sign : x > y ? sign : a - b;
  });
};

// -- the table ------------------------------------------------------------------------------------------------
const sized = (texts, least, most) => Math.min(Math.max(8 * Math.max(0, ...texts.map((t) => t.length)) + 12, least), most) + "px";
let layout = [];
const layOut = () => {
  const wide = isComparison() ? 150 : 92;
  layout = [
    { name: "id", width: sized(table.id.slice(0, 200), 56, 170) },
    { name: "outcome", head: isComparison() ? "row" : "outcome", width: "84px" },
    ...table.metrics.map((metric) => ({ name: metric.name, width: sized([metric.name + "  "], wide, 190), metric })),
    { name: "input", width: "minmax(220px, 1fr)" },
    { name: "output", head: isComparison() ? "new answer" : "answer", width: "minmax(220px, 1fr)" },
  ];
  const widths = layout.map((column) => column.width);
  // What the columns need at least, with the gaps between them: below that the rows are scrolled sideways.
  const least = widths.reduce((sum, width) => sum + parseInt(width.match(/\d+/)[0], 10) + 14, 28);
  at("grid").style.setProperty("--columns", widths.join(" "));
  at("grid").style.setProperty("--least", `${least}px`);
  at("grid").setAttribute("aria-colcount", layout.length);
};
const chip = (value, metric) => {
  if (isMissing(value)) return element("span", "missing", "chip bad");
  if (isApart(value)) return element("span", "n/a", "soft");
  if (metric.kind !== "binary") return element("span", typeof value === "number" ? rounded(value) : value);
  const isGood = metric.higher === null ? null : (value === 1) === metric.higher;
  const text = value === 1 ? "yes" : value === 0 ? "no" : rounded(value);
  if (isGood === null || (value !== 0 && value !== 1)) return element("span", text, "chip");
  return element("span", (isGood ? "✓ " : "✗ ") + text, "chip " + (isGood ? "good" : "bad"));
};
const showScores = (cell, place, metric) => {
  const value = table.values[metric.name][place];
  if (!isComparison() || table.outcome[place] === "new") return cell.append(chip(value, metric));
  const before = table.before[metric.name][place], change = worth(metric, before, value);
  if (change === null && JSON.stringify(before) === JSON.stringify(value)) cell.append(chip(value, metric));
  else if (table.outcome[place] === "gone") cell.append(chip(before, metric));
  else {
    cell.append(chip(before, metric), element("span", " → ", "soft"), chip(value, metric));
    if (change) cell.append(element("span", change > 0 ? " ▲" : " ▼", change > 0 ? "good" : "bad"));
  }
};
const drawHead = () => {
  const cells = layout.map((column, index) => {
    const cell = element("div");
    cell.setAttribute("role", "columnheader");
    cell.setAttribute("aria-colindex", index + 1);
    const isSorted = state.sort === column.name;
    cell.setAttribute("aria-sort", isSorted ? (state.desc ? "descending" : "ascending") : "none");
    const button = element("button", (column.head || column.name) + (isSorted ? (state.desc ? " ↓" : " ↑") : ""));
    button.type = "button";
    button.tabIndex = -1;
    button.title = column.head || column.name;
    button.addEventListener("click", () => {
      state.desc = isSorted && !state.desc;
      state.sort = column.name;
      changed();
    });
    cell.append(button);
    return cell;
  });
  at("head").replaceChildren(...cells);
};
const drawRow = (index) => {
  const place = shown[index], row = element("div", null, "row");
  row.setAttribute("role", "row");
  row.setAttribute("aria-rowindex", index + 2);
  row.setAttribute("aria-selected", index === selected);
  row.id = "r" + index;
  row.style.top = index * ROW + "px";
  for (const column of layout) {
    const cell = element("div");
    cell.setAttribute("role", "gridcell");
    if (column.metric) showScores(cell, place, column.metric);
    else if (column.name === "id") cell.textContent = visible(nameOf(place)) + (isMarked(place) ? " ●" : "");
    else if (column.name === "outcome") cell.append(element("span", table.outcome[place], "outcome " + table.outcome[place]));
    else cell.append(element("bdi", table[column.name][place]));
    row.append(cell);
  }
  row.addEventListener("click", () => { selected = index; show(place); draw(); });
  return row;
};
const draw = () => {
  const grid = at("grid");
  const first = Math.max(Math.floor(grid.scrollTop / ROW) - SPARE, 0);
  const last = Math.min(first + Math.ceil(grid.clientHeight / ROW) + 2 * SPARE, shown.length);
  at("list").replaceChildren(...Array.from({ length: Math.max(last - first, 0) }, (_, n) => drawRow(first + n)));
  grid.setAttribute("aria-activedescendant", shown.length ? "r" + selected : "");
};
const move = (by) => {
  if (!shown.length) return;
  selected = Math.min(Math.max(selected + by, 0), shown.length - 1);
  const grid = at("grid"), top = selected * ROW;
  if (top < grid.scrollTop) grid.scrollTop = top;
  if (top + 2 * ROW > grid.scrollTop + grid.clientHeight) grid.scrollTop = top + 2 * ROW - grid.clientHeight;
  draw();
  if (open !== null) show(shown[selected]);
};
