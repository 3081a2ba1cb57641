// Marks by people: kept in the browser by the content that they are for, until they are saved as a file.

const marks = new Map();
const STORE = "latent-marks";
const markKey = (place, metric) => `${table.key[place]}-${metric.rubric}`;
const isMarked = (place) => marks.size > 0 && table.metrics.some((metric) => metric.rubric && marks.has(markKey(place, metric)));
const restoreMarks = () => {
  if (!table.key) return countMarks();
  try {
    const kept = JSON.parse(localStorage.getItem(STORE) || "[]");
    if (kept.length) {
      const known = new Set();
      for (const metric of table.metrics) for (let place = 0; place < table.id.length; place++) known.add(markKey(place, metric));
      for (const mark of kept) if (known.has(mark.key)) marks.set(mark.key, mark);
    }
  } catch { /* no store, or what is in it is not ours */ }
  countMarks();
};
const keepMarks = () => {
  try {
    const others = JSON.parse(localStorage.getItem(STORE) || "[]").filter((mark) => !marks.has(mark.key));
    localStorage.setItem(STORE, JSON.stringify([...others, ...marks.values()]));
  } catch { /* without a store they last as long as the page is open */ }
  countMarks();
};
const countMarks = () => {
  at("save").hidden = !table.key;
  at("save").disabled = marks.size === 0;
  at("save").textContent = marks.size ? `Save ${marks.size} mark${marks.size > 1 ? "s" : ""}` : "Save marks";
};
const dropMark = (key) => {
  marks.delete(key);
  try {
    const others = JSON.parse(localStorage.getItem(STORE) || "[]").filter((mark) => mark.key !== key);
    localStorage.setItem(STORE, JSON.stringify(others));
  } catch { /* nothing was kept */ }
  countMarks();
};
const marking = (place, metric) => {
  const key = markKey(place, metric), known = marks.get(key) || {};
  const label = element(metric.grades ? "select" : "input"), note = element("input");
  label.className = "grade";
  label.setAttribute("aria-label", `Your mark for ${metric.name}`);
  if (metric.grades) label.append(new Option("mark …", ""), ...metric.grades.map(([value, text]) => new Option(text, String(value))));
  else label.placeholder = "mark …";
  label.value = isMissing(known.label) ? "" : String(known.label);
  note.className = "note";
  note.placeholder = "note";
  note.setAttribute("aria-label", `Your note on ${metric.name}`);
  note.value = known.note || "";
  const keep = () => {
    const text = label.value.trim(), isNumber = metric.kind !== "label" && text !== "" && !isNaN(text);
    if (!text && !note.value) dropMark(key);
    else {
      const mark = { id: table.id[place], repeat: table.repeat[place], key, metric: metric.name, label: text === "" ? null : isNumber ? Number(text) : text, note: note.value };
      marks.set(key, mark);
      keepMarks();
    }
    draw();
  };
  for (const each of [label, note]) each.addEventListener("change", keep);
  return [label, note];
};
const saveMarks = () => {
  const order = new Map(table.id.map((id, place) => [nameOf(place), place]));
  const lines = [...marks.values()].sort((a, b) => (order.get(a.id) ?? 0) - (order.get(b.id) ?? 0) || a.metric.localeCompare(b.metric));
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([lines.map((mark) => JSON.stringify(mark)).join("\n") + "\n"], { type: "application/jsonl" }));
  link.download = "labels.jsonl";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
