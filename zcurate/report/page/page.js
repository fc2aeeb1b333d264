"use strict";
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const rows = content.rows, classes = content.classes, store = "zcurate:" + content.digest + ":" + content.report;
  const by = document.getElementById("by"), list = document.querySelector("#list tbody"), gallery = document.getElementById("gallery");
  const hasPictures = rows.some((row) => row.picture);
  let decisions = {}, order = [], shown = [], at = -1, sort = { key: "rank", up: true }, words = new Set(), open = -1;

  try { const kept = JSON.parse(localStorage.getItem(store) || "{}"); decisions = kept.decisions || {}; order = kept.order || []; by.value = kept.by || ""; } catch (error) { decisions = {}; }
  const keep = () => { try { localStorage.setItem(store, JSON.stringify({ decisions, order, by: by.value })); } catch (error) { /* a browser without storage: decisions last until the page is closed */ } };

  const element = (tag, text, className) => { const made = document.createElement(tag); if (text !== undefined && text !== null) made.textContent = text; if (className) made.className = className; return made; };
  const label = (value) => value === null || value === undefined ? "–" : classes.length ? (classes[value] ?? "–") : String(value);
  const short = (text) => text.length > 60 ? text.slice(0, 57) + "…" : text;
  const share = (value) => value === null ? "–" : value.toFixed(2);
  const decisionOf = (row) => decisions[row.row] || (row.decision ? { decision: row.decision, label: row.decided === undefined ? null : row.decided, old: true } : null);
  const said = (row) => { const one = decisionOf(row); return one ? one.decision + (one.decision === "relabel" ? " " + short(label(one.label)) : "") : ""; };

  const values = { rank: (row) => row.rank, key: (row) => row.key || row.row, given: (row) => label(row.given), suggested: (row) => label(row.suggested), p: (row) => row.p[0] === null ? -1 : row.p[0],
    hard: (row) => row.p[1] === null ? -1 : row.p[1], verdict: (row) => row.verdict, decision: said };
  const compare = (one, other) => { const a = values[sort.key](one), b = values[sort.key](other); const found = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)); return (sort.up ? found : -found) || one.rank - other.rank; };

  function choose() {
    const wanted = document.getElementById("find").value.toLowerCase();
    const text = (row) => [row.row, row.key, label(row.given), label(row.suggested), row.verdict, ...row.why, ...row.telling, ...Object.values(row.cells)].join(" ").toLowerCase();
    const current = shown[at];
    shown = rows.filter((row) => (!words.size || words.has(row.verdict)) && (!wanted || text(row).includes(wanted))).sort(compare);
    at = current ? shown.indexOf(current) : -1;
    open = open >= 0 && at >= 0 ? at : -1;
    draw();
  }

  function draw() {
    list.replaceChildren(); gallery.replaceChildren();
    shown.forEach((row, place) => {
      if (hasPictures) gallery.append(card(row, place));
      list.append(line(row, place));
      if (place === open) list.append(detail(row));
    });
    document.querySelectorAll("#list th[data-sort]").forEach((head) => head.setAttribute("aria-sort", head.dataset.sort === sort.key ? (sort.up ? "ascending" : "descending") : "none"));
    tell();
  }

  function line(row, place) {
    const out = element("tr", null, "row" + (place === at ? " at" : ""));
    out.tabIndex = 0;
    out.append(element("td", row.rank, "n"), element("td", row.key || "row " + row.row), element("td", short(label(row.given))), element("td", row.suggested === null ? "–" : short(label(row.suggested))),
      element("td", share(row.p[0]), "n"), element("td", share(row.p[1]), "n less"), element("td", row.verdict, "word " + row.verdict), element("td", row.why[0] || "", "less"), element("td", said(row), "decided"));
    out.addEventListener("click", () => { at = place; open = open === place ? -1 : place; draw(); focus(); });
    return out;
  }

  function card(row, place) {
    const out = element("div", null, "card" + (place === at ? " at" : ""));
    out.tabIndex = 0;
    if (row.picture) { const image = element("img"); image.src = row.picture; image.alt = row.key || "row " + row.row; image.loading = "lazy"; out.append(image); }
    out.append(element("div", short(label(row.given)) + (row.suggested === null ? "" : " → " + short(label(row.suggested)))), element("div", row.verdict + " " + share(row.p[0]), "word " + row.verdict));
    const decided = said(row);
    if (decided) out.append(element("div", decided, "decided"));
    out.addEventListener("click", () => { at = place; open = place; draw(); focus(); });
    return out;
  }

  function detail(row) {
    const out = element("tr"), cell = element("td"), box = element("div", null, "detail"), left = element("div"), right = element("div");
    cell.colSpan = 9;
    if (row.picture) { const image = element("img"); image.src = row.picture; image.alt = row.key; left.append(image); }
    const facts = element("dl");
    const add = (name, value) => { facts.append(element("dt", name), element("dd", value)); };
    add("row", row.row + (row.key ? " · " + row.key : ""));
    add(content.label, label(row.given) + (row.suggested === null ? "" : " given, suggested " + label(row.suggested)));
    add("probability", "incorrect " + share(row.p[0]) + ", hard " + share(row.p[1]) + ", outlier " + share(row.p[2]));
    if (row.z !== null) add("z-score", row.z + ", masked " + (row.masked === null ? "–" : (100 * row.masked).toFixed(0) + " %"));
    row.why.forEach((text, number) => add(number ? "" : "why", text));
    if (row.telling.length) add("speaks against", row.telling.join(", "));
    left.append(facts);
    const cells = element("dl");
    Object.entries(row.cells).forEach(([name, value]) => cells.append(element("dt", name), element("dd", value)));
    right.append(cells);
    if (row.loss.length > 1) right.append(curve(row));
    const keys = element("div", null, "keys");
    const button = (text, act) => { const made = element("button", text); made.type = "button"; made.addEventListener("click", (event) => { event.stopPropagation(); act(); }); keys.append(made); };
    button("keep " + short(label(row.given)) + " (k)", () => decide("keep"));
    if (row.suggested !== null) button("it is " + short(label(row.suggested)) + " (r)", () => decide("relabel", row.suggested));
    if (classes.length) {
      const select = element("select"); select.setAttribute("aria-label", "another label"); select.append(element("option", "another label"));
      classes.forEach((name, number) => { const one = element("option", (number < 9 && classes.length < 10 ? number + 1 + " " : "") + short(name)); one.value = number; select.append(one); });
      select.addEventListener("change", () => { if (select.selectedIndex > 0) decide(Number(select.value) === row.given ? "keep" : "relabel", Number(select.value)); });
      keys.append(select);
    } else {
      const input = element("input"); input.type = "number"; input.step = "any"; input.placeholder = "right number"; input.setAttribute("aria-label", "right number");
      input.addEventListener("change", () => { if (input.value !== "") decide("relabel", Number(input.value)); });
      keys.append(input);
    }
    button("drop (d)", () => decide("drop")); button("cannot tell (c)", () => decide("unsure"));
    left.append(keys); box.append(left, right); cell.append(box); out.append(cell);
    return out;
  }

  function curve(row) {
    const name = "http://www.w3.org/2000/svg", svg = document.createElementNS(name, "svg"), band = content.bands[classes.length ? row.given : "all"];
    const n = row.loss.length, all = row.loss.concat(band ? band[2] : []).filter((value) => value !== null), top = Math.max(...all, 0.01);
    const x = (step) => 30 + 280 * step / Math.max(1, n - 1), y = (value) => 100 - 90 * Math.min(value, top) / top;
    const path = (points, className) => { const made = document.createElementNS(name, "path"); made.setAttribute("d", points.map((point, step) => (step ? "L" : "M") + point[0].toFixed(1) + " " + point[1].toFixed(1)).join("")); made.setAttribute("class", className); made.setAttribute("fill", className === "band" ? "" : "none"); if (className === "band") made.removeAttribute("fill"); svg.append(made); };
    svg.setAttribute("viewBox", "0 0 320 122"); svg.setAttribute("role", "img"); svg.setAttribute("aria-label", "Loss of the row at each epoch against the middle 80 % of its class");
    if (band) {
      const m = Math.min(n, band[0].length), up = [], down = [], middle = [];
      for (let step = 0; step < m; step++) { up.push([x(step), y(band[2][step])]); down.unshift([x(step), y(band[0][step])]); middle.push([x(step), y(band[1][step])]); }
      path(up.concat(down), "band"); path(middle, "median");
    }
    path(row.loss.map((value, step) => [x(step), y(value === null ? 0 : value)]), "own");
    [[30, 116, "start", "epoch 1"], [310, 116, "end", String(n)], [0, 14, "start", top.toFixed(1)], [0, 104, "start", "0"]].forEach(([left, down, anchor, text]) => { const made = document.createElementNS(name, "text"); made.setAttribute("x", left); made.setAttribute("y", down); made.setAttribute("text-anchor", anchor); made.textContent = text; svg.append(made); });
    const box = element("div"); box.append(element("div", "loss while training: red this row, green the middle 80 % of " + (classes.length ? "its class" : "all rows"), "dim"), svg);
    return box;
  }

  function decide(word, value) {
    if (at < 0) return;
    const row = shown[at];
    if (!decisions[row.row]) order.push(row.row);
    decisions[row.row] = { decision: word, label: word === "relabel" ? value : null, at: new Date().toISOString().slice(0, 19) + "+00:00" };
    keep();
    if (at < shown.length - 1) { at++; if (open >= 0) open = at; }
    draw(); focus();
  }

  function undo() {
    const last = order.pop();
    if (last === undefined) return;
    delete decisions[last];
    keep();
    at = shown.findIndex((row) => row.row === last); if (open >= 0) open = at;
    draw(); focus();
  }

  function move(step) { if (!shown.length) return; at = Math.min(shown.length - 1, Math.max(0, at + step)); if (open >= 0) open = at; draw(); focus(); }
  function focus() { const line = list.querySelectorAll("tr.row")[at]; if (line) { line.focus({ preventScroll: true }); line.scrollIntoView({ block: "nearest" }); } }

  function tell() {
    const made = Object.values(decisions), wrong = made.filter((one) => one.decision === "relabel").length, sure = made.filter((one) => one.decision === "relabel" || one.decision === "keep").length;
    document.getElementById("known").textContent = shown.length + " of " + rows.length + " rows" + (made.length ? " · " + made.length + " decided, " + wrong + " of " + sure + " wrong" : "");
  }

  function saveFile() {
    if (!Object.keys(decisions).length) { document.getElementById("known").textContent = "nothing is decided yet: choose a row and press k, r, d or c"; return; }
    const names = ["row", "id", "path", "fingerprint", "given", "decision", "label", "by", "at"];
    const cell = (value) => { const text = value === null || value === undefined ? "" : String(value); return /[",\n\r]/.test(text) || text !== text.trim() ? '"' + text.replace(/"/g, '""') + '"' : text; };
    const lines = rows.filter((row) => decisions[row.row]).map((row) => {
      const one = decisions[row.row];
      const facts = { row: row.row, id: row.keys.id, path: row.keys.path, fingerprint: row.print, given: row.given === null ? "" : label(row.given), decision: one.decision, label: one.decision === "relabel" ? label(one.label) : "", by: by.value, at: one.at };
      return names.map((name) => cell(facts[name])).join(",");
    });
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([names.join(",") + "\n" + lines.map((text) => text + "\n").join("")], { type: "text/csv" }));
    link.download = content.report.replace(/\.zcurate\.parquet$/, "") + ".decisions.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  [...new Set(rows.map((row) => row.verdict))].forEach((word) => {
    const made = element("button", word + " " + rows.filter((row) => row.verdict === word).length, "word " + word);
    made.type = "button"; made.setAttribute("aria-pressed", "false");
    made.addEventListener("click", () => { words.has(word) ? words.delete(word) : words.add(word); made.setAttribute("aria-pressed", String(words.has(word))); choose(); });
    document.getElementById("words").append(made, " ");
  });
  document.querySelectorAll("#list th[data-sort]").forEach((head) => {
    head.tabIndex = 0;
    const act = () => { sort = { key: head.dataset.sort, up: head.dataset.sort === sort.key ? !sort.up : !["p", "hard"].includes(head.dataset.sort) }; choose(); };
    head.addEventListener("click", act);
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") act(); });
  });
  document.getElementById("find").addEventListener("input", choose);
  document.getElementById("save").addEventListener("click", saveFile);
  document.getElementById("clear").addEventListener("click", () => { if (!order.length || confirm("Forget the decisions made on this page?")) { decisions = {}; order = []; keep(); draw(); } });
  by.addEventListener("input", keep);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || ["INPUT", "SELECT", "TEXTAREA", "BUTTON"].includes(event.target.tagName)) return;
    const row = shown[at], number = Number(event.key);
    if (event.key === "ArrowDown" || event.key === "n") move(1);
    else if (event.key === "ArrowUp" || event.key === "p") move(-1);
    else if (event.key === "Enter" && row && event.target.tagName !== "TH") { open = open === at ? -1 : at; draw(); focus(); }
    else if (event.key === "u") undo();
    else if (!row) return;
    else if (event.key === "k") decide("keep");
    else if (event.key === "r" && row.suggested !== null) decide("relabel", row.suggested);
    else if (event.key === "d") decide("drop");
    else if (event.key === "c") decide("unsure");
    else if (number >= 1 && number <= 9 && classes.length < 10 && number <= classes.length) decide(number - 1 === row.given ? "keep" : "relabel", number - 1);
    else return;
    event.preventDefault();
  });
  if (!hasPictures) gallery.remove();
  choose();
  if (shown.length) { at = 0; draw(); }
})();
