"use strict";
(() => {
  const ROW = 34, SPARE = 12, DIFF_WORDS = 1500;
  const at = (id) => document.getElementById(id);
  const element = (tag, text, className) => {
    const made = document.createElement(tag);
    if (text !== undefined && text !== null) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  // -- data: blocks are deflated JSON; each is unpacked once, when it is needed -----------------------------
  const unpacked = new Map();
  const unpack = (id) => {
    if (!unpacked.has(id)) {
      const bytes = Uint8Array.from(atob(at(id).textContent), (c) => c.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
      unpacked.set(id, new Response(stream).json());
    }
    return unpacked.get(id);
  };
  const whole = async (value) => {
    if (Array.isArray(value)) return Promise.all(value.map(whole));
    if (value && typeof value === "object") {
      if ("$shared" in value) return (await unpack("shared"))[value.$shared];
      const entries = await Promise.all(Object.entries(value).map(async ([k, v]) => [k, await whole(v)]));
      return Object.fromEntries(entries);
    }
    return value;
  };
  const detailOf = async (place) =>
    whole((await unpack("rows-" + Math.floor(place / table.size)))[place % table.size]);

  let table, texts, shown = [], selected = 0, open = null;
  const marks = new Map();
  const state = { q: "", outcome: "", metric: "", score: "", slice: "", sort: "", desc: false, row: "" };

  // -- state in the address, so that a view can be sent to somebody ----------------------------------------
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
  const nameOf = (place) => table.id[place] + (table.repeat[place] ? "~" + table.repeat[place] : "");

  // -- which rows are shown --------------------------------------------------------------------------------
  const isMissing = (value) => value === null;
  const isApart = (value) => value !== null && typeof value === "object";
  const SCORES = {
    binary: { fails: (v) => v === 0, passes: (v) => v === 1 },
    ordinal: { "low half": (v, m) => v < middle(m), "high half": (v, m) => v >= middle(m) },
    continuous: { "low half": (v, m) => v < middle(m), "high half": (v, m) => v >= middle(m) },
  };
  const middles = new Map();
  const middle = (metric) => {
    if (!middles.has(metric.name)) {
      const values = table.values[metric.name].filter((v) => typeof v === "number").sort((a, b) => a - b);
      middles.set(metric.name, metric.scale ? (metric.scale[0] + metric.scale[1]) / 2 : values[values.length >> 1]);
    }
    return middles.get(metric.name);
  };
  const scoreTests = (metric) => {
    const tests = {};
    if (metric.kind === "label") {
      const labels = new Set(table.values[metric.name].filter((v) => typeof v === "string"));
      for (const label of [...labels].sort()) tests[label] = (v) => v === label;
    } else {
      for (const [name, test] of Object.entries(SCORES[metric.kind] || {}))
        tests[name] = (v) => typeof v === "number" && test(v, metric);
    }
    tests.missing = isMissing;
    tests["not applicable"] = isApart;
    tests["differs between repeats"] = (v, place) => flaky.has(place);
    return tests;
  };
  let flaky;

  const choose = () => {
    const metric = table.metrics.find((each) => each.name === state.metric);
    const test = metric && scoreTests(metric)[state.score];
    const words = state.q.toLowerCase();
    const [column, ...rest] = state.slice.split("=");
    const value = rest.join("=");
    shown = [];
    for (let place = 0; place < table.id.length; place++) {
      if (state.outcome && table.outcome[place] !== state.outcome) continue;
      if (test && !test(table.values[metric.name][place], place)) continue;
      if (state.slice && table.slices[column] && table.slices[column][place] !== value) continue;
      if (words && !texts[place].includes(words)) continue;
      shown.push(place);
    }
    if (state.sort) {
      const values = table.values[state.sort] || table[state.sort];
      const rank = (v) => (v === null || isApart(v) ? -Infinity : v);
      const sign = state.desc ? -1 : 1;
      shown.sort((a, b) => {
        const [x, y] = [rank(values[a]), rank(values[b])];
        return x < y ? -sign : x > y ? sign : a - b;
      });
    }
    selected = Math.min(selected, Math.max(shown.length - 1, 0));
    at("count").textContent = `${shown.length.toLocaleString("en")} of ${table.id.length.toLocaleString("en")}`;
    at("grid").setAttribute("aria-rowcount", shown.length + 1);
    at("list").style.height = shown.length * ROW + "px";
    draw();
  };

  // -- the table: only the rows in view exist --------------------------------------------------------------
  const columns = () => [
    { name: "id", width: "100px" },
    { name: "outcome", width: "76px" },
    ...table.metrics.map((metric) => ({ name: metric.name, width: "104px", metric })),
    { name: "input", width: "minmax(240px, 1fr)" },
    { name: "output", width: "minmax(240px, 1fr)" },
  ];
  const showValue = (cell, value, metric) => {
    if (isMissing(value)) return cell.append(element("span", "missing", "bad"));
    if (isApart(value)) return cell.append(element("span", "n/a", "soft"));
    if (metric.kind === "binary") {
      const isGood = metric.higher === null ? null : (value === 1) === metric.higher;
      return cell.append(element("span", value ? "yes" : "no", isGood === null ? "" : isGood ? "good" : "bad"));
    }
    cell.textContent = typeof value === "number" ? String(Math.round(value * 1000) / 1000) : value;
  };
  const drawHead = () => {
    const head = at("head");
    head.replaceChildren();
    head.style.gridTemplateColumns = columns().map((c) => c.width).join(" ");
    for (const column of columns()) {
      const cell = element("div");
      cell.setAttribute("role", "columnheader");
      const isSorted = state.sort === column.name;
      cell.setAttribute("aria-sort", isSorted ? (state.desc ? "descending" : "ascending") : "none");
      const button = element("button", column.name + (isSorted ? (state.desc ? " ↓" : " ↑") : ""));
      button.type = "button";
      button.addEventListener("click", () => {
        state.desc = isSorted && !state.desc;
        state.sort = column.name;
        changed();
      });
      cell.append(button);
      head.append(cell);
    }
  };
  const draw = () => {
    const grid = at("grid"), list = at("list");
    const first = Math.max(Math.floor(grid.scrollTop / ROW) - SPARE, 0);
    const last = Math.min(first + Math.ceil(grid.clientHeight / ROW) + 2 * SPARE, shown.length);
    const layout = columns().map((c) => c.width).join(" ");
    const made = [];
    for (let index = first; index < last; index++) {
      const place = shown[index], row = element("div", null, "row");
      row.setAttribute("role", "row");
      row.setAttribute("aria-rowindex", index + 2);
      row.setAttribute("aria-selected", index === selected);
      row.id = "r" + index;
      row.style.top = index * ROW + "px";
      row.style.gridTemplateColumns = layout;
      for (const column of columns()) {
        const cell = element("div");
        cell.setAttribute("role", "gridcell");
        if (column.metric) showValue(cell, table.values[column.name][place], column.metric);
        else if (column.name === "id") cell.textContent = nameOf(place) + (marks.has(place) ? " ●" : "");
        else cell.textContent = table[column.name][place];
        row.append(cell);
      }
      row.addEventListener("click", () => { selected = index; show(place); draw(); });
      made.push(row);
    }
    list.replaceChildren(...made);
    grid.setAttribute("aria-activedescendant", shown.length ? "r" + selected : "");
  };
  const move = (by) => {
    selected = Math.min(Math.max(selected + by, 0), shown.length - 1);
    const grid = at("grid"), top = selected * ROW;
    if (top < grid.scrollTop) grid.scrollTop = top;
    if (top + 2 * ROW > grid.scrollTop + grid.clientHeight) grid.scrollTop = top + 2 * ROW - grid.clientHeight;
    draw();
    if (open !== null && shown.length) show(shown[selected]);
  };

  // -- one row ---------------------------------------------------------------------------------------------
  const wordDiff = (before, after) => {
    const a = before.match(/\s+|\w+|[^\w\s]/g) || [], b = after.match(/\s+|\w+|[^\w\s]/g) || [];
    if (a.length > DIFF_WORDS || b.length > DIFF_WORDS) return null;
    const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
    for (let i = a.length - 1; i >= 0; i--)
      for (let j = b.length - 1; j >= 0; j--)
        lengths[i][j] = a[i] === b[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    const found = element("pre");
    let i = 0, j = 0;
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && a[i] === b[j]) { found.append(a[i]); i++; j++; }
      else if (j >= b.length || (i < a.length && lengths[i + 1][j] >= lengths[i][j + 1])) found.append(element("del", a[i++]));
      else found.append(element("ins", b[j++]));
    }
    return found;
  };
  const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 1));
  const part = (panel, title, content) => {
    if (content === undefined || content === null || content === "") return;
    panel.append(element("h3", title), content instanceof Node ? content : element("pre", asText(content)));
  };
  const show = async (place) => {
    open = place;
    state.row = nameOf(place);
    writeHash();
    const detail = await detailOf(place);
    if (open !== place) return;
    const panel = element("div");
    const close = element("button", "Close", "close");
    close.type = "button";
    close.addEventListener("click", hide);
    panel.append(close, element("h2", nameOf(place)));
    const isLong = (value) => typeof value === "object" || String(value).length > 2000;
    const inputs = Object.entries(detail.input);
    for (const [name, value] of inputs) if (!isLong(value)) part(panel, name, value);
    part(panel, "answer", detail.output);
    part(panel, "error", detail.error && `${detail.error_type || ""} ${detail.error}`.trim());
    part(panel, "expected", detail.expected);
    if (detail.expected && detail.output && detail.expected !== detail.output)
      part(panel, "expected → answer", wordDiff(detail.expected, detail.output));
    for (const score of detail.scores) {
      const value = score.value === undefined ? score.outcome : score.value;
      const lines = [String(value), score.answer && "read as: " + score.answer, score.reason, score.evidence];
      part(panel, score.metric, lines.filter((line) => line !== undefined && line !== "" && line !== null).join("\n"));
    }
    const facts = ["outcome", "attempts", "model", "finish_reason", "input_tokens", "output_tokens", "latency_seconds", "answer_cost_usd"];
    part(panel, "about", facts.filter((name) => detail[name] !== undefined).map((name) => `${name}: ${detail[name]}`).join("\n"));
    part(panel, "your mark", marking(place));
    for (const [name, value] of inputs) {
      if (!isLong(value)) continue;
      const isTexts = Array.isArray(value) && value.every((each) => typeof each === "string");
      if (isTexts) value.forEach((each, index) => part(panel, `${name} ${index + 1}`, each));
      else part(panel, name, value);
    }
    at("detail").replaceChildren(panel);
    at("detail").hidden = false;
  };
  const hide = () => {
    open = null;
    state.row = "";
    writeHash();
    at("detail").hidden = true;
    at("grid").focus();
  };

  // -- marks by people: kept here until they are saved as a file -------------------------------------------
  const marking = (place) => {
    const known = marks.get(place) || {}, line = element("div", null, "mark");
    const metric = element("select"), label = element("input"), note = element("input");
    metric.setAttribute("aria-label", "Metric");
    label.placeholder = "label or score";
    note.placeholder = "note";
    for (const each of table.metrics) metric.append(new Option(each.name, each.name));
    if (known.metric) metric.value = known.metric;
    label.value = known.label === undefined ? "" : known.label;
    note.value = known.note || "";
    const keep = () => {
      const text = label.value.trim();
      if (!text && !note.value) marks.delete(place);
      else marks.set(place, { metric: metric.value, label: text !== "" && !isNaN(text) ? Number(text) : text, note: note.value });
      at("save").disabled = button.disabled = marks.size === 0;
      draw();
    };
    const button = element("button", "Save all marks");
    button.type = "button";
    button.disabled = marks.size === 0;
    button.addEventListener("click", save);
    for (const each of [metric, label, note]) each.addEventListener("change", keep);
    line.append(metric, label, note, button);
    return line;
  };
  const save = () => {
    const lines = [...marks].sort((a, b) => a[0] - b[0]).map(([place, mark]) =>
      JSON.stringify({ id: table.id[place], repeat: table.repeat[place], key: table.key[place], ...mark }));
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "application/jsonl" }));
    link.download = "labels.jsonl";
    link.click();
    URL.revokeObjectURL(link.href);
  };

  // -- controls --------------------------------------------------------------------------------------------
  const options = (id, first, names) => at(id).replaceChildren(new Option(first, ""), ...names.map((n) => new Option(n, n)));
  const changed = () => {
    const metric = table.metrics.find((each) => each.name === state.metric);
    options("score", "any score", metric ? Object.keys(scoreTests(metric)) : []);
    at("score").disabled = !metric;
    if (!metric) state.score = "";
    for (const id of ["outcome", "metric", "score", "slice"]) at(id).value = state[id];
    at("search").value = state.q;
    drawHead();
    choose();
    writeHash();
  };
  const start = async () => {
    table = await unpack("table");
    flaky = new Set(table.flaky);
    texts = table.id.map((id, place) => `${id}\n${table.input[place]}\n${table.output[place]}`.toLowerCase());
    readHash();
    options("outcome", "any outcome", [...new Set(table.outcome)].sort());
    options("metric", "any metric", table.metrics.map((metric) => metric.name));
    const slices = Object.entries(table.slices).flatMap(([name, values]) => [...new Set(values)].sort().map((v) => `${name}=${v}`));
    options("slice", "all slices", slices);
    at("slice").hidden = slices.length === 0;
    at("browser").hidden = false;
    for (const id of ["outcome", "metric", "score", "slice"])
      at(id).addEventListener("change", (event) => { state[id] = event.target.value; changed(); });
    at("search").addEventListener("input", (event) => { state.q = event.target.value; choose(); writeHash(); });
    at("grid").addEventListener("scroll", () => requestAnimationFrame(draw));
    addEventListener("resize", draw);
    addEventListener("hashchange", () => { readHash(); changed(); });
    at("save").addEventListener("click", save);
    addEventListener("keydown", (event) => {
      const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
      if (event.key === "Escape") { if (open !== null) hide(); else event.target.blur(); return; }
      if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "/") { at("search").focus(); event.preventDefault(); }
      else if (event.key === "j" || event.key === "ArrowDown") { move(1); event.preventDefault(); }
      else if (event.key === "k" || event.key === "ArrowUp") { move(-1); event.preventDefault(); }
      else if (event.key === "Enter" && shown.length && event.target.tagName !== "BUTTON") show(shown[selected]);
    });
    const wanted = state.row;
    changed();
    const index = wanted ? shown.findIndex((place) => nameOf(place) === wanted) : -1;
    if (index >= 0) { selected = index; move(0); show(shown[index]); }
    document.documentElement.dataset.ready = "1";
  };
  start();
})();
