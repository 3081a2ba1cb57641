// Controls and keys.

const CHOICES = ["outcome", "metric", "score", "slice"];
const options = (id, first, names) => at(id).replaceChildren(new Option(first, ""), ...names.map((name) => new Option(name, name)));
const searched = () => {
  at("clear").hidden = !["q", ...CHOICES, "sort"].some((name) => state[name]);
  choose();
  writeHash();
};
const changed = () => {
  const metric = table.metrics.find((each) => each.name === state.metric);
  options("score", "any score", metric ? Object.keys(scoreTests(metric)) : []);
  at("score").disabled = !metric;
  if (!metric) state.score = "";
  for (const id of CHOICES) at(id).value = state[id];
  at("search").value = state.q;
  drawHead();
  searched();
};
const KEYS = { j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1), PageDown: () => move(15), PageUp: () => move(-15), "/": () => at("search").focus() };
const pressed = (event) => {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape") return open !== null ? hide() : event.target.blur();
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  // The page itself scrolls with arrows, except where rows are looked at.
  const inRows = open !== null || at("browser").contains(document.activeElement);
  if (event.key === "Enter") {
    if (shown.length && !["BUTTON", "A", "SUMMARY"].includes(event.target.tagName)) show(shown[selected]);
  } else if (KEYS[event.key] && (inRows || event.key.length === 1)) {
    KEYS[event.key]();
    event.preventDefault();
  }
};
const start = async () => {
  table = await unpack("table");
  texts = table.id.map((id, place) => `${id}\n${table.input[place]}\n${table.output[place]}`.toLowerCase());
  at("grid").style.setProperty("--rows", Math.max(table.id.length, 3)); // a few rows take a small box
  readHash();
  restoreMarks();
  options("outcome", isComparison() ? "all rows" : "any outcome", [...new Set(table.outcome)].sort());
  options("metric", "any metric", table.metrics.map((metric) => metric.name));
  const slices = Object.entries(table.slices).flatMap(([name, values]) => [...new Set(values)].sort().map((value) => `${name}=${value}`));
  options("slice", "all slices", slices);
  at("slice").hidden = slices.length === 0;
  at("metric").hidden = at("score").hidden = table.metrics.length === 0;
  at("browser").hidden = false;
  layOut();
  for (const id of CHOICES) at(id).addEventListener("change", (event) => { state[id] = event.target.value; changed(); });
  at("search").addEventListener("input", (event) => { state.q = event.target.value; searched(); });
  at("clear").addEventListener("click", () => { Object.assign(state, { ...NO_STATE, row: state.row }); changed(); });
  let isAsked = false;
  at("grid").addEventListener("scroll", () => {
    if (!isAsked) requestAnimationFrame(() => { isAsked = false; draw(); });
    isAsked = true;
  });
  addEventListener("resize", draw);
  addEventListener("hashchange", () => { if (location.hash.includes("=")) { readHash(); changed(); } });
  addEventListener("keydown", pressed);
  at("save").addEventListener("click", saveMarks);
  const wanted = state.row;
  changed();
  const index = wanted ? shown.findIndex((place) => nameOf(place) === wanted) : -1;
  if (index >= 0) { selected = index; move(0); show(shown[index]); }
  document.documentElement.dataset.ready = "1";
};
start();
