// One row, opened: what was asked, what was answered, how it was scored.

const CUT = 20000;
const MANY_COLUMNS = 30; // folded: the answer and its scores stand below them
const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 1));
const block = (value) => {
  const text = asText(value), made = element("pre", text.slice(0, CUT));
  made.dir = "auto";
  if (text.length > CUT) {
    const all = element("button", `Show all ${text.length.toLocaleString("en")} characters`);
    all.type = "button";
    all.addEventListener("click", () => made.replaceChildren(visible(text)));
    made.append(element("br"), all);
  }
  return made;
};
const part = (panel, title, ...content) => {
  if (!content.length) return;
  panel.append(element("h3", title), ...content);
};
const isNothing = (value) => value === undefined || value === null || value === "";
const isConversation = (value) => Array.isArray(value) && value.length > 0 && value.every((m) => m && typeof m === "object" && m.role !== undefined && m.content !== undefined);
const passageText = (value) => (typeof value === "string" ? value : value && typeof value === "object" ? value.text ?? value.content ?? value.page_content : undefined);
const arePassages = (value) => Array.isArray(value) && value.length > 0 && value.every((each) => typeof passageText(each) === "string") && value.some((each) => passageText(each).length > 60);

const conversation = (messages) => messages.map((message) => {
  const made = element("div", null, "message " + (message.role === "user" ? "asks" : "answers"));
  made.append(element("b", message.role), block(message.content));
  return made;
});
const passages = (values) => values.map((value, index) => {
  const made = element("details", null, "passage"), text = passageText(value);
  const about = typeof value === "string" ? "" : [value.id, value.source, value.title].filter((each) => !isNothing(each)).join(" · ");
  made.append(element("summary", `${index + 1}  ${about || text.slice(0, 90)}`));
  const rest = typeof value === "string" ? {} : Object.fromEntries(Object.entries(value).filter(([, each]) => each !== text));
  made.append(block(text));
  if (Object.keys(rest).length) made.append(facts(rest));
  return made;
});
const facts = (values) => {
  const made = element("dl");
  for (const [name, value] of Object.entries(values)) {
    const shown = element("dd", asText(value));
    shown.dir = "auto";
    made.append(element("dt", name), shown);
  }
  return made;
};
const showColumns = (panel, values) => {
  const short = {};
  for (const [name, value] of Object.entries(values)) {
    if (isNothing(value)) continue;
    if (isConversation(value)) part(panel, name, ...conversation(value));
    else if (arePassages(value)) part(panel, name, ...passages(value));
    else if (asText(value).length > 100 || ["question", "prompt", "query", "input"].includes(name)) part(panel, name, block(value));
    else short[name] = value;
  }
  const count = Object.keys(short).length;
  if (count > MANY_COLUMNS) {
    const folded = element("details", null, "passage");
    folded.append(element("summary", `${count} columns`), facts(short));
    panel.append(folded);
  } else if (count) part(panel, "columns", facts(short));
};
const pieces = (found, left) => {
  const made = element("pre");
  made.dir = "auto";
  for (const [kind, text] of found) {
    if (kind === (left ? "new" : "old") && left !== null) continue;
    made.append(kind === "same" ? visible(text) : element(kind === "old" ? "del" : "ins", text));
  }
  return made;
};
// Of texts that have little in common, a diff says nothing.
const isAlike = (found) => {
  const chars = (kind) => found.reduce((sum, [each, text]) => sum + (each === kind ? text.trim().length : 0), 0);
  return chars("same") >= 0.3 * Math.max(chars("old"), chars("new"));
};

// -- scores, and marks beside them -----------------------------------------------------------------------------
const scoreCard = (score, place) => {
  const metric = table.metrics.find((each) => each.name === score.metric) || { name: score.metric };
  const made = element("div", null, "score"), line = element("div", null, "line");
  const value = score.outcome === "not_applicable" ? {} : score.value;
  line.append(element("b", score.metric), chip(typeof value === "boolean" ? Number(value) : value, metric));
  if (isMissing(value)) line.append(element("span", score.outcome, "soft"));
  const people = ((table.people || {})[score.metric] || {})[place];
  if (!isMissing(people)) line.append(element("span", `people: ${people}`, "chip"));
  if (place !== null && metric.rubric) line.append(...marking(place, metric));
  made.append(line);
  if (!isNothing(score.reason)) made.append(element("p", score.reason));
  if (!isNothing(score.answer)) made.append(element("p", `read as: ${score.answer}`, "soft"));
  if (!isNothing(score.evidence)) {
    const evidence = element("details");
    let known = score.evidence;
    try { known = JSON.parse(score.evidence); } catch { /* cut, or no JSON: as it is */ }
    evidence.append(element("summary", "evidence"), block(known));
    made.append(evidence);
  }
  return made;
};

// -- a row of an evaluation ------------------------------------------------------------------------------------
const FACTS = { attempts: "attempts", model: "model", finish_reason: "finish reason", input_tokens: "tokens in", output_tokens: "tokens out", latency_seconds: "seconds", answer_cost_usd: "cost (US$)" };
const showEvaluated = (panel, detail, place) => {
  showColumns(panel, detail.input);
  if (!isNothing(detail.output)) part(panel, "answer", block(detail.output));
  if (!isNothing(detail.error)) part(panel, "error", block(`${detail.error_type || ""} ${detail.error}`.trim()));
  if (!isNothing(detail.expected)) {
    const differs = !isNothing(detail.output) && detail.expected !== detail.output;
    part(panel, "expected", block(detail.expected));
    const found = differs && wordDiff(detail.expected, detail.output);
    if (found && isAlike(found)) part(panel, "expected → answer", pieces(found, null));
  }
  if (detail.scores.length) part(panel, "scores", ...detail.scores.map((score) => scoreCard(score, place)));
  if (detail.more) showColumns(panel, detail.more);
  if (!isNothing(detail.prompt)) {
    const prompt = element("details");
    prompt.append(element("summary", "as it was sent"), block(detail.prompt));
    part(panel, "prompt", prompt);
  }
  const known = Object.entries(FACTS).filter(([name]) => !isNothing(detail[name]));
  part(panel, "what it took", facts(Object.fromEntries([["outcome", detail.outcome], ...known.map(([name, label]) => [label, detail[name]])])));
  if (table.trace) {
    const link = element("a", "Look at the run's trace in MLflow");
    link.href = table.trace;
    link.rel = "noreferrer noopener";
    link.target = "_blank";
    part(panel, "trace", link);
  }
};

// -- a row of a comparison -------------------------------------------------------------------------------------
const showCompared = (panel, detail) => {
  showColumns(panel, detail.input);
  if (!isNothing(detail.expected)) part(panel, "expected", block(detail.expected));
  const count = Math.max(detail.old.length, detail.new.length);
  for (let repeat = 0; repeat < count; repeat++) {
    const [old, now] = [detail.old[repeat], detail.new[repeat]];
    const both = element("div", null, "both");
    const has = (side) => side && !isNothing(side.output);
    const words = has(old) && has(now) ? wordDiff(old.output, now.output) : null;
    const found = words && isAlike(words) ? words : null;
    for (const [title, side, left] of [["old answer", old, true], ["new answer", now, false]]) {
      const column = element("div");
      column.append(element("h3", title + (repeat ? ` #${repeat}` : "")));
      if (!side) column.append(element("p", "no such row", "soft"));
      else if (isNothing(side.output)) column.append(block(side.error || side.outcome));
      else column.append(found ? pieces(found, left) : block(side.output));
      if (side) column.append(...side.scores.map((score) => scoreCard(score, null)));
      both.append(column);
    }
    panel.append(both);
  }
};

const show = async (place) => {
  open = place;
  state.row = nameOf(place);
  writeHash();
  const detail = await detailOf(place);
  if (open !== place) return;
  const panel = element("div"), bar = element("div", null, "nav");
  const button = (text, label, act) => {
    const made = element("button", text);
    made.type = "button";
    made.setAttribute("aria-label", label);
    made.addEventListener("click", act);
    return made;
  };
  bar.append(
    element("span", table.outcome[place], "outcome " + table.outcome[place]),
    element("span", `${(selected + 1).toLocaleString("en")} of ${shown.length.toLocaleString("en")}`, "soft"),
    button("↑", "Previous row (k)", () => move(-1)),
    button("↓", "Next row (j)", () => move(1)),
    button("✕", "Close (Escape)", hide),
  );
  const title = element("h2", nameOf(place));
  title.id = "title";
  panel.append(bar, title);
  if (detail === null) part(panel, "left out", element("p", "This row passed everything. Its details are left out to keep the page small; the top of the page says how to write them."));
  else if (isComparison()) showCompared(panel, detail);
  else showEvaluated(panel, detail, place);
  const isNew = at("detail").hidden;
  at("detail").replaceChildren(panel);
  at("detail").hidden = false;
  at("detail").scrollTop = 0;
  if (isNew) at("detail").focus({ preventScroll: true });
};
const hide = () => {
  open = null;
  state.row = "";
  writeHash();
  at("detail").hidden = true;
  at("grid").focus({ preventScroll: true });
};
