"use strict";
// The browser of questions and the hovering over curves. Texts become text nodes, never markup. What is chosen stands
// in the address, #a=..&b=..&filter=..&search=..&q=.., so that a link leads to the same view.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { arms, questions, verdicts } = data;
  const find = (selector, inside = document) => inside.querySelector(selector);
  const findAll = (selector, inside = document) => [...inside.querySelectorAll(selector)];

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  // --- what is known about a question

  const letters = (arm, question) => verdicts[arm].map((row) => row[question]);
  const share = (arm, question) => letters(arm, question).filter((v) => v === "c").length / verdicts[arm].length;
  const ease = questions.map((_, q) => arms.reduce((sum, _, a) => sum + share(a, q), 0) / (arms.length || 1));

  const parsed = new Map();
  function texts(arm, seed) {
    const id = `texts-${arm}-${seed}`;
    if (!parsed.has(id)) parsed.set(id, JSON.parse(document.getElementById(id).textContent));
    return parsed.get(id);
  }

  const written = new Map();
  function searchable(question, deep) {
    const q = questions[question];
    const plain = [q.text, ...q.choices, q.answer, q.id, q.source].join("\n").toLowerCase();
    if (!deep) return plain;
    if (!written.has(question)) {
      const rationales = arms.flatMap((arm, a) => arm.seeds.flatMap((seed) => texts(a, seed)[question][1].map((r) => r[0])));
      written.set(question, rationales.join("\n").toLowerCase());
    }
    return plain + "\n" + written.get(question);
  }

  // --- filters: names as they stand in the address

  const several = arms.some((arm) => arm.seeds.length > 1);
  const FILTERS = {
    "": ["all questions", () => true],
    "right-wrong": [several ? "A right more often than B" : "A right, B wrong", (q, a, b) => share(a, q) > share(b, q)],
    "wrong-right": [several ? "B right more often than A" : "B right, A wrong", (q, a, b) => share(a, q) < share(b, q)],
    "a-right": [several ? "A right with every seed" : "A right", (q, a) => share(a, q) === 1],
    "a-wrong": [several ? "A wrong with some seed" : "A wrong", (q, a) => letters(a, q).includes("w")],
    "a-unread": [several ? "A unread with some seed" : "A unread", (q, a) => letters(a, q).includes("u")],
    "unread": ["unread by any arm", (q) => arms.some((_, a) => letters(a, q).includes("u"))],
    "all-right": ["everyone right", (q) => ease[q] === 1],
    "none-right": ["nobody right", (q) => ease[q] === 0],
  };

  const form = find(".tools"), list = find(".list"), detail = find(".detail");
  const KEYS = ["search", "filter", "a", "b", "sort", "deep", "q"];
  const otherThan = (arm) => Math.max(0, arms.findIndex((_, n) => n !== arm));
  const students = [...arms.keys()].filter((a) => !arms[a].reference);
  const first = students.reduce((best, a) => (total(a) > total(best) ? a : best), students[0] ?? 0);
  const base = arms.findIndex((arm) => arm.arm === data.baseline);
  const DEFAULTS = {
    search: "", filter: "", sort: "", deep: "", q: "",
    a: arms[first]?.arm ?? "",
    b: arms[base >= 0 && base !== first ? base : otherThan(first)]?.arm ?? "",
  };
  let state = { ...DEFAULTS };
  let shown = [];
  let drawn = 0;

  function total(arm) {
    return questions.reduce((sum, _, q) => sum + share(arm, q), 0);
  }
  const number = (name) => arms.findIndex((arm) => arm.arm === name);

  function readAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    state = { ...DEFAULTS };
    for (const key of KEYS) if (asked.has(key)) state[key] = asked.get(key);
    if (number(state.a) < 0) state.a = DEFAULTS.a;
    if (number(state.b) < 0) state.b = DEFAULTS.b;
    if (!(state.filter in FILTERS)) state.filter = "";
    return KEYS.some((key) => asked.has(key));
  }

  function writeAddress() {
    const told = new URLSearchParams();
    for (const key of KEYS) if (state[key] !== DEFAULTS[key]) told.set(key, state[key]);
    const hash = told.toString();
    try {
      history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    } catch { /* a page inside a sandbox has no address to write */ }
  }

  // --- the list

  function choose() {
    const a = number(state.a), b = number(state.b), words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
    const test = FILTERS[state.filter][1];
    shown = questions.map((_, q) => q).filter((q) => {
      if (arms.length && !test(q, a, b)) return false;
      if (!words.length) return true;
      const text = searchable(q, state.deep === "1");
      return words.every((word) => text.includes(word));
    });
    if (state.sort) shown.sort((p, q) => (state.sort === "hard" ? ease[p] - ease[q] : ease[q] - ease[p]) || p - q);
  }

  const CHUNK = 80;
  function drawList() {
    list.replaceChildren();
    drawn = 0;
    document.documentElement.dataset.shown = shown.length;
    find(".count").textContent = `${shown.length.toLocaleString("en")} of ${questions.length.toLocaleString("en")} questions`;
    if (!shown.length) list.append(make("li", { class: "empty", role: "option", "aria-disabled": "true" }, "No question fits. Clear the search or choose another filter."));
    drawMore();
  }

  function drawMore(until = drawn + CHUNK) {
    for (; drawn < Math.min(until, shown.length); drawn++) list.append(row(shown[drawn]));
  }

  function row(q) {
    const item = make("li", { role: "option", id: `row-${q}`, "aria-selected": String(questions[q].id === state.q) });
    item.append(make("div", { class: "text" }, questions[q].text), marks(q));
    item.setAttribute("aria-label", `${questions[q].text} ${arms.map((arm, a) => `${arm.title}: ${spoken(a, q)}`).join("; ")}`);
    item.addEventListener("click", () => { select(q); if (isNarrow()) detail.scrollIntoView(); });
    return item;
  }

  const WORDS = { c: "right", w: "wrong", u: "unread" };
  const spoken = (a, q) => letters(a, q).map((v) => WORDS[v]).join(", ");
  function marks(q) {
    const all = make("div", { class: "marks" });
    arms.forEach((arm, a) => {
      const group = make("span", { class: "group", title: `${arm.title}: ${spoken(a, q)}` });
      letters(a, q).forEach((v) => group.append(make("span", { class: `mark-${v}` })));
      all.append(group);
    });
    return all;
  }

  function drawColumns() {
    const dense = arms.reduce((sum, arm) => sum + arm.seeds.length, 0) > 14;
    find(".side").classList.toggle("dense", dense);
    arms.forEach((arm) => {
      const fits = !dense || arm.seeds.length > 1;
      const head = make("span", { class: arm.look, title: arm.title }, fits ? arm.short : "");
      head.style.width = `calc(${arm.seeds.length} * (var(--mark) + 2px) - 2px)`;
      find(".columns").append(head);
    });
  }
  const isNarrow = () => matchMedia("(max-width: 48rem)").matches;

  function select(q, follow = true) {
    state.q = q === undefined ? "" : questions[q].id;
    for (const item of findAll('[aria-selected="true"]', list)) item.setAttribute("aria-selected", "false");
    const at = shown.indexOf(q);
    if (at >= 0) {
      drawMore(at + 2);
      const item = document.getElementById(`row-${q}`);
      item.setAttribute("aria-selected", "true");
      list.setAttribute("aria-activedescendant", item.id);
      if (follow) reveal(item);
    } else list.removeAttribute("aria-activedescendant");
    drawDetail(q);
    writeAddress();
  }

  function reveal(item) {
    const top = item.offsetTop - list.offsetTop, bottom = top + item.offsetHeight;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
  }

  function step(by) {
    if (!shown.length) return;
    const at = shown.findIndex((q) => questions[q].id === state.q);
    select(shown[at < 0 ? 0 : Math.min(shown.length - 1, Math.max(0, at + by))]);
  }

  // --- one question

  function drawDetail(q) {
    detail.replaceChildren();
    detail.scrollTop = 0;
    if (q === undefined) {
      detail.append(make("p", { class: "muted" }, "Choose a question to read what every student wrote."));
      return;
    }
    const question = questions[q], at = shown.indexOf(q);
    const place = `${at >= 0 ? `${(at + 1).toLocaleString("en")} of ${shown.length.toLocaleString("en")}` : "outside of the filter"} · ${question.source || question.id}`;
    const bar = make("div", { class: "bar" }, make("span", { class: "place" }, place));
    for (const [label, by] of [["Previous", -1], ["Next", 1]]) {
      const button = make("button", { type: "button" }, label);
      button.addEventListener("click", () => { step(by); });
      bar.append(button);
    }
    detail.append(bar, make("p", { class: "question" }, question.text));
    if (question.choices.length) detail.append(choicesOf(question));
    detail.append(make("p", { class: "gold-answer" }, "Right answer: ", make("b", {}, question.answer)));
    const cards = make("div", { class: "cards" });
    const leading = [number(state.a), number(state.b)];
    const order = [...new Set([...leading, ...arms.keys()])].filter((a) => a >= 0);
    for (const a of order) cards.append(card(a, q));
    detail.append(cards);
  }

  function choicesOf(question) {
    const all = make("ol", { class: "choices" });
    question.choices.forEach((text, n) => {
      const letter = String.fromCharCode(65 + n);
      all.append(make("li", letter === question.answer ? { class: "gold" } : {}, `${letter}  ${text}`));
    });
    return all;
  }

  function card(a, q) {
    const made = make("section", { class: `card ${arms[a].look}` }, make("h3", {}, arms[a].title));
    made.style.margin = "0";
    arms[a].seeds.forEach((seed, s) => made.append(answer(a, q, seed, verdicts[a][s][q])));
    return made;
  }

  function answer(a, q, seed, verdict) {
    const [voted, rationales, found] = texts(a, seed)[q];
    const main = Math.max(0, rationales.findIndex((r) => r[1] === voted));
    const top = make("div", { class: "top" }, make("span", { class: `mark-${verdict}`, title: WORDS[verdict] }));
    top.append(make("b", {}, voted ?? "no answer read"));
    if (arms[a].seeds.length > 1) top.append(make("span", {}, `seed ${seed}`));
    if (rationales.length > 1) top.append(make("span", {}, `${rationales.filter((r) => voted !== null && r[1] === voted).length} of ${rationales.length} votes`));
    const made = make("div", { class: "answer" }, top);
    if (rationales.length) {
      top.append(...footnotes(rationales[main]));
      made.append(rationale(rationales[main]));
    }
    if (rationales.length > 1) made.append(others(rationales, main));
    if (found.length) made.append(cited(found, rationales[main]?.[5] ?? []));
    return made;
  }

  const rationale = ([text]) => make("p", { class: text ? "rationale" : "rationale none" }, text || "answered without a rationale");

  function footnotes([, , , tokens, finished, passages]) {
    const notes = [];
    if (tokens) notes.push(make("span", {}, `${tokens} tokens`));
    if (passages.length) notes.push(make("span", { title: passages.map((n) => known()[n][0]).join(", ") }, counted(passages.length, "passage")));
    if (!finished) notes.push(make("span", { class: "cut" }, "cut at the length limit"));
    return notes;
  }

  // --- the passages that were found for a question: [number, score, right], best first

  let passages;
  const known = () => (passages ??= JSON.parse(document.getElementById("passages").textContent));
  const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

  function cited(found, shown) {
    const all = make("ol", { class: "cited" });
    for (const hit of found) all.append(passage(hit, shown.includes(hit[0])));
    const right = found.filter(([, , right]) => right).length;
    const said = `${counted(found.length, "passage")} found${right ? `, ${right} right` : ""}`;
    return make("details", { class: "passages" }, make("summary", {}, said), all);
  }

  function passage([number, score, right], shown) {
    const [id, title, text] = known()[number];
    const top = make("div", { class: "top" }, make("b", {}, title || id), make("span", { title: id }, `score ${score.toFixed(2)}`));
    if (right) top.append(make("span", { class: "right" }, "right"));
    if (!shown) top.append(make("span", { class: "cut" }, "not shown: no room"));
    return make("li", {}, top, make("p", { class: text ? "text" : "text muted" }, text ?? "Its text is not kept in this report."));
  }

  function others(rationales, main) {
    const more = make("details", {}, make("summary", {}, `${rationales.length - 1} other ${rationales.length > 2 ? "rationales" : "rationale"}`));
    rationales.forEach((r, n) => {
      if (n === main) return;
      const top = make("div", { class: "top" }, make("span", { class: `mark-${r[2]}`, title: WORDS[r[2]] }), make("b", {}, r[1] ?? "no answer read"), ...footnotes(r));
      more.append(top, rationale(r));
    });
    return more;
  }

  // --- the tools

  function drawTools() {
    for (const [value, [label]] of Object.entries(FILTERS)) form.elements.filter.append(make("option", { value }, label));
    for (const name of ["a", "b"]) for (const arm of arms) form.elements[name].append(make("option", { value: arm.arm }, arm.title));
  }

  function showState() {
    for (const key of ["search", "filter", "a", "b", "sort"]) form.elements[key].value = state[key];
    form.elements.deep.checked = state.deep === "1";
  }

  function refresh() {
    choose();
    drawList();
    const q = questions.findIndex((question) => question.id === state.q);
    select(q >= 0 && shown.includes(q) ? q : shown[0]);
  }

  form.addEventListener("input", () => {
    for (const key of ["search", "filter", "a", "b", "sort"]) state[key] = form.elements[key].value;
    state.deep = form.elements.deep.checked ? "1" : "";
    list.scrollTop = 0;
    refresh();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  find(".reset").addEventListener("click", () => { state = { ...DEFAULTS }; showState(); refresh(); });
  list.addEventListener("scroll", () => { if (list.scrollTop + 2 * list.clientHeight > list.scrollHeight) drawMore(); });
  list.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity };
    if (!(event.key in moves)) return;
    event.preventDefault();
    step(moves[event.key]);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "/") { event.preventDefault(); form.elements.search.focus(); }
    if (event.key === "j" || event.key === "k") { step(event.key === "j" ? 1 : -1); }
  });
  addEventListener("hashchange", () => {
    if (!readAddress()) return;
    showState();
    refresh();
    find("#browser").scrollIntoView();
  });
  find(".copy").addEventListener("click", async (event) => {
    try {
      await navigator.clipboard.writeText(find(".command code").textContent);
      event.target.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(find(".command code"));
    }
  });

  // --- curves

  const hidden = new Set();
  for (const button of findAll(".legend button")) {
    const arm = Number(button.dataset.arm);
    const light = (on) => { for (const mark of findAll(".learning [data-arm]")) mark.classList.toggle("dim", on && mark.dataset.arm !== button.dataset.arm); };
    button.addEventListener("click", () => {
      const off = !hidden.has(arm);
      off ? hidden.add(arm) : hidden.delete(arm);
      button.setAttribute("aria-pressed", String(!off));
      for (const mark of findAll(`.curves [data-arm="${arm}"]`)) mark.classList.toggle("gone", off);
      light(!off);
    });
    for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => light(!hidden.has(arm)));
    for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => light(false));
  }

  const MOST = 10;
  const figure = (value) => (Math.abs(value) >= 0.01 || value === 0 ? value.toFixed(3) : value.toPrecision(2));
  function tipAt(panel, epoch) {
    const series = panel.series ?? arms;
    const found = series.map(({ title, look }, n) => {
      const values = panel.lines.filter(([of]) => of === n).flatMap(([, points]) => points.filter(([e]) => e === epoch).map(([, v]) => v));
      return { title, look, gone: !values.length || (!panel.series && hidden.has(n)), mean: values.reduce((sum, v) => sum + v, 0) / values.length };
    }).filter(({ gone }) => !gone);
    if (found.length > MOST) found.sort((x, y) => (panel.share ? y.mean - x.mean : x.mean - y.mean));
    const rows = found.slice(0, MOST).map(({ title, look, mean }) =>
      make("div", { class: look }, make("span", {}, make("span", { class: "swatch" }), title), make("span", {}, panel.share ? `${(100 * mean).toFixed(1)}%` : figure(mean))));
    if (found.length > MOST) rows.push(make("div", { class: "muted" }, `and ${found.length - MOST} behind these`));
    return [make("b", {}, `epoch ${epoch}`), ...rows];
  }

  for (const plot of findAll("[data-panel]")) {
    const panel = data.panels[Number(plot.dataset.panel)], field = find(".field", plot), tip = find(".tip", plot);
    const epochs = [...new Set(panel.lines.flatMap(([, points]) => points.map(([e]) => e)))].sort((x, y) => x - y);
    field.addEventListener("pointermove", (event) => {
      const box = field.getBoundingClientRect();
      const at = panel.low + ((event.clientX - box.left) / box.width) * (panel.high - panel.low);
      const epoch = epochs.reduce((best, e) => (Math.abs(e - at) < Math.abs(best - at) ? e : best));
      const place = (epoch - panel.low) / (panel.high - panel.low);
      for (const end of ["x1", "x2"]) find(".guide", field).setAttribute(end, `${100 * place}%`);
      tip.replaceChildren(...tipAt(panel, epoch));
      tip.hidden = false;
      field.classList.add("hovered");
      tip.style.left = place < 0.5 ? `calc(${100 * place}% + 10px)` : "auto";
      tip.style.right = place < 0.5 ? "auto" : `calc(${100 * (1 - place)}% + 10px)`;
      tip.style.transform = "none";
      const stands = tip.getBoundingClientRect(), room = document.documentElement.clientWidth - 6;
      tip.style.transform = `translateX(${Math.max(6 - stands.left, 0) || Math.min(room - stands.right, 0)}px)`;
    });
    field.addEventListener("pointerleave", () => { tip.hidden = true; field.classList.remove("hovered"); });
  }

  drawTools();
  drawColumns();
  const asked = readAddress();
  showState();
  refresh();
  if (asked) find("#browser").scrollIntoView({ behavior: "instant" });
  document.documentElement.dataset.ready = "yes";
})();
