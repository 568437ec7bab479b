"use strict";
/* The queries: filters, search, and what two systems show for one query. All text goes in as text, never as HTML. */

function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

async function unpack(id) {
  const letters = document.getElementById(id).textContent.trim();
  const bytes = Uint8Array.from(atob(letters), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const fixed = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));

const COMMON = new Set("the and for with that this from are was how what why who when where can does did has have not you your into its".split(" "));

function wordsOf(query) {
  const words = (query.toLowerCase().match(/[\p{L}\p{N}_]{3,}/gu) ?? []).filter((word) => !COMMON.has(word));
  return [...new Set(words)].sort((a, b) => b.length - a.length);
}

const escaped = (word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

function highlighted(text, words) {
  if (!words.length) return [text];
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(${words.map(escaped).join("|")})`, "giu");
  return text.split(pattern).map((part, at) => (at % 2 ? make("mark", {}, part) : part));
}

/* An address for a page: only where the report was given one, or the page is one; only of kinds that are safe. */
function linkTo(page, template) {
  const address = template ? template.replaceAll("{page}", page.split("/").map(encodeURIComponent).join("/")) : page;
  return /^(https?|file):\/\//i.test(address) || (template && !/^[a-z][a-z0-9+.-]*:/i.test(address)) ? address : null;
}

function unitName(unit, page, data) {
  const address = page ? linkTo(page, data.links) : null;
  return address ? make("a", { class: "unit", href: address, rel: "noopener noreferrer", target: "_blank" }, make("bdi", {}, unit)) : make("bdi", { class: "unit" }, unit);
}

/* Where most of the query's words stand together: [begin, end] of about `width` characters. */
function passage(text, words, width = 280) {
  if (text.length <= width || !words.length) return [0, Math.min(text.length, width)];
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(?:${words.map(escaped).join("|")})`, "giu");
  const places = [...text.matchAll(pattern)].map((match) => [match.index, match[0].toLowerCase()]);
  let [best, most] = [0, 0];
  places.forEach(([begin], at) => {
    const near = new Set(places.slice(at).filter(([place]) => place < begin + width - 40).map(([, word]) => word));
    if (near.size > most) [best, most] = [begin, near.size];
  });
  const begin = Math.max(0, best - 40);
  return [begin, Math.min(text.length, begin + width)];
}

/* A text: its best passage first, all of it on demand. */
function textBlock(text, words, kept) {
  const [begin, end] = passage(text, words);
  const body = make("p", { dir: "auto" });
  const left = kept ? make("p", { class: "fine" }, `${kept.toLocaleString("en")} more characters are not in this page.`) : null;
  const show = (whole) => {
    const parts = whole ? [text] : [begin ? "… " : "", text.slice(begin, end), end < text.length ? " …" : ""];
    body.replaceChildren(...parts.filter(Boolean).flatMap((part) => highlighted(part, words)));
  };
  show(false);
  if (begin === 0 && end === text.length) return [body, left];
  const more = make("button", { type: "button", class: "more", "aria-expanded": "false" }, "Show all");
  more.addEventListener("click", () => {
    const open = more.getAttribute("aria-expanded") === "false";
    more.setAttribute("aria-expanded", String(open));
    more.textContent = open ? "Show less" : "Show all";
    show(open);
  });
  return [body, more, left];
}

/* What a text is called: its first line without marks of a heading. */
function titleOf(text) {
  return (text.match(/[^\s#>*=_`-].*/u)?.[0] ?? "").slice(0, 120).trim();
}

function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = make("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/* A cell of CSV that no spreadsheet takes for a formula. */
function csvCell(value) {
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

class Explorer {
  constructor(data) {
    this.data = data;
    this.root = document.getElementById("explorer");
    this.list = document.getElementById("list");
    [this.left, this.right] = data.pair;
    this.opened = new Set();
    this.filter = "all";
    this.needle = "";
    this.order = "change";
    this.grades = data.queries.map((query) => new Map(query.judged));
    this.ranks = data.queries.map((query) => new Map(query.ranks.map(([unit, ...ranks]) => [unit, ranks])));
    this.answered = data.queries.map((query) => !data.judged || query.waiting || query.judged.some(([, grade]) => grade > 0));
    if (!data.queries.some((query) => query.waiting)) this.FILTERS = this.FILTERS.filter(([name]) => name !== "waiting");
    this.#controls();
    this.root.hidden = false;
    this.show();
    addEventListener("hashchange", () => this.#follow());
    this.#follow();
  }

  /* `#q=ID` opens a query. */
  #follow() {
    const id = location.hash.startsWith("#q=") ? decodeURIComponent(location.hash.slice(3)) : "";
    if (id && this.data.queries.some((query) => query.id === id)) this.open({ id });
  }

  value(at, system) { return this.data.queries[at].values[system][0]; }

  change(at) {
    const [before, after] = [this.value(at, this.left), this.value(at, this.right)];
    return before === null || after === null ? null : after - before;
  }

  top(at, system) { return this.data.queries[at].hits[system].slice(0, 10); }

  FILTERS = [
    ["all", "All", () => true],
    ["gained", "Gained", (at) => this.change(at) > 1e-9],
    ["lost", "Lost", (at) => this.change(at) < -1e-9],
    ["same", "Unchanged", (at) => this.change(at) !== null && Math.abs(this.change(at)) <= 1e-9],
    ["unjudged", "Unjudged on top", (at) => [this.left, this.right].some((system) => this.top(at, system).slice(0, 3).some(([unit]) => !this.grades[at].has(unit)))],
    ["none", "Nothing relevant found", (at) => this.answered[at] && !this.data.queries[at].waiting && !this.top(at, this.right).some(([unit]) => this.grades[at].get(unit) > 0)],
    ["unanswerable", "Nothing relevant known", (at) => !this.answered[at]],
    ["waiting", "Not judged yet", (at) => this.data.queries[at].waiting],
  ];

  #controls() {
    for (const [id, chosen] of [["left", this.left], ["right", this.right]]) {
      const select = document.getElementById(id);
      select.append(...this.data.systems.map((system, at) => make("option", { value: at, selected: at === chosen }, system.name)));
      select.addEventListener("change", () => { this[id] = Number(select.value); this.show(); });
    }
    document.getElementById("order").addEventListener("change", (event) => { this.order = event.target.value; this.show(); });
    const search = document.getElementById("search");
    search.addEventListener("input", () => { this.needle = search.value.trim().toLowerCase(); this.show(); });
    const filters = this.root.querySelector(".filters");
    filters.hidden = !this.data.judged;
    for (const [name, label] of this.FILTERS) {
      const input = make("input", { type: "radio", name: "filter", value: name, checked: name === "all" });
      input.addEventListener("change", () => { this.filter = name; this.show(); });
      filters.append(make("label", {}, input, `${label} `, make("span", { class: "number", "data-filter": name })));
    }
    document.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("open-query", (event) => this.open(event.detail));
    document.getElementById("csv").addEventListener("click", () => this.#csv());
  }

  #matches(at) {
    if (!this.needle) return true;
    const query = this.data.queries[at];
    if (`${query.id} ${query.text}`.toLowerCase().includes(this.needle)) return true;
    return [this.left, this.right].some((system) => query.hits[system].some(([unit, text]) =>
      this.data.units[unit].toLowerCase().includes(this.needle) || this.#content(text)[0].toLowerCase().includes(this.needle)));
  }

  #content(text) { return text === null ? ["", 0] : this.data.contents[this.data.texts[text][0]]; }

  #found() {
    const keep = this.FILTERS.find(([name]) => name === this.filter)[2];
    const found = [...this.data.queries.keys()].filter((at) => keep(at) && this.#matches(at));
    const weight = { change: (at) => (this.change(at) === null ? 1 : -Math.abs(this.change(at))), worst: (at) => this.value(at, this.right) ?? 2, id: (at) => at }[this.order];
    return found.sort((a, b) => weight(a) - weight(b) || a - b);
  }

  #csv() {
    const [left, right] = [this.left, this.right].map((system) => this.data.systems[system].name);
    const rows = this.#found().map((at) => [this.data.queries[at].id, this.data.queries[at].text, this.value(at, this.left), this.value(at, this.right), this.change(at)]);
    const lines = [["query_id", "query", left, right, "change"], ...rows].map((row) => row.map(csvCell).join(","));
    download("queries.csv", "text/csv", lines.join("\r\n") + "\r\n");
  }

  show() {
    const all = [...this.data.queries.keys()];
    for (const [name, , keep] of this.FILTERS) this.root.querySelector(`[data-filter="${name}"]`).textContent = all.filter(keep).length;
    const found = this.#found();
    this.list.replaceChildren(...found.map((at) => this.#row(at)));
    document.getElementById("shown").textContent =
      `${found.length} of ${all.length} queries. Numbers are ${this.data.measures[0]} of “${this.data.systems[this.left].name}”, then of “${this.data.systems[this.right].name}”.`;
  }

  #row(at) {
    const query = this.data.queries[at];
    const change = this.change(at);
    const numbers = query.waiting ? "not judged" : change === null ? "not defined" : `${fixed(this.value(at, this.left))} → ${fixed(this.value(at, this.right))}`;
    const direction = this.data.judged ? Math.sign(Math.abs(change) > 1e-9 ? change : 0) : 0;
    const [sign, word] = [["▼", "lost"], ["", ""], ["▲", "gained"]][direction + 1];
    const panel = make("div", { class: "panel", id: `query-${at}`, hidden: true });
    const button = make("button", { type: "button", class: "row", "aria-expanded": "false", "aria-controls": `query-${at}`, "data-at": at },
      make("span", { class: "words", dir: "auto" }, query.text || query.id),
      make("span", { class: "change" }, make("span", { class: `mark ${sign === "▲" ? "good" : "bad"}`, "aria-hidden": "true" }, sign), make("span", { class: "hidden" }, word), ` ${numbers}`),
      make("small", {}, [query.text ? query.id : "", this.answered[at] ? "" : "nothing relevant is known"].filter(Boolean).join(" · ")));
    button.addEventListener("click", () => this.toggle(button, panel, at));
    if (this.opened.has(at)) this.#set(button, panel, at, true);
    return make("li", {}, make("h3", {}, button), panel);
  }

  #set(button, panel, at, open) {
    panel.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (open && !panel.childElementCount) panel.append(...this.#panel(at));
  }

  toggle(button, panel, at, open = panel.hidden) {
    this.#set(button, panel, at, open);
    this.opened[open ? "add" : "delete"](at);
    history.replaceState(null, "", open ? this.#address(at) : location.pathname + location.search);
  }

  #address(at) { return `#q=${encodeURIComponent(this.data.queries[at].id)}`; }

  open({ id, right = this.right }) {
    this.right = right;
    document.getElementById("right").value = right;
    this.filter = "all";
    this.needle = document.getElementById("search").value = "";
    this.root.querySelector('[value="all"]').checked = true;
    const at = this.data.queries.findIndex((query) => query.id === id);
    this.opened.add(at);
    this.show();
    const button = this.list.querySelector(`button[data-at="${at}"]`);
    button.scrollIntoView({ block: "start" });
    button.focus({ preventScroll: true });
  }

  #panel(at) {
    const sides = this.left === this.right ? [this.left] : [this.left, this.right];
    const lists = sides.map((system, place) => this.#hits(at, system, place ? this.left : this.right, Boolean(place)));
    const copied = make("span", { role: "status", class: "fine" });
    const copy = (label, text) => make("button", { type: "button", class: "more", onclick: () => navigator.clipboard.writeText(text()).then(() => { copied.textContent = "Copied."; }, () => { copied.textContent = "This browser does not allow it."; }) }, label);
    const tools = make("p", { class: "tools" }, copy("Copy link", () => location.href.split("#")[0] + this.#address(at)), copy("Copy lists", () => this.#asText(at, sides)), copied);
    return [tools, make("div", { class: "sides" }, ...lists), this.#absent(at, sides)].filter(Boolean);
  }

  #asText(at, sides) {
    const query = this.data.queries[at];
    const lists = sides.map((system) => [this.data.systems[system].name, ...query.hits[system].map(([unit], i) => `${i + 1}\t${this.#word(at, unit)}\t${this.data.units[unit]}`)].join("\n"));
    return [`${query.id}\t${query.text}`, ...lists].join("\n\n");
  }

  #hits(at, system, other, after) {
    const query = this.data.queries[at];
    const words = wordsOf(query.text);
    const values = this.data.measures.map((measure, i) => `${measure} ${fixed(query.values[system][i])}`).join(" · ");
    const items = query.hits[system].map(([unit, text, score], i) => this.#hit({ at, unit, text, score, rank: i + 1, other, after, words, side: this.data.systems[system].side, same: system === other }));
    items.slice(10).forEach((item) => { item.hidden = true; });
    const rest = items.length > 10 ? make("button", { type: "button", class: "more" }, `Show ${items.length - 10} more`) : null;
    rest?.addEventListener("click", () => { items.forEach((item) => { item.hidden = false; }); rest.remove(); });
    return make("div", {}, make("h4", {}, this.data.systems[system].name), make("p", { class: "fine" }, values),
      items.length ? make("ol", { class: "hits" }, ...items) : make("p", {}, "Nothing was retrieved."), rest);
  }

  /* One line: rank, movement, grade, id and title; the text when it is asked for. */
  #hit({ at, unit, text, score, rank, other, after, words, side, same }) {
    const there = this.ranks[at].get(unit)[other];
    const about = [this.#grade(at, unit), same ? null : make("span", { class: "moved" }, movement(rank, there, after))];
    if (text === null) return make("li", { class: "hit" }, make("span", { class: "rank" }, String(rank)),
      make("div", { class: "about" }, ...about, unitName(this.data.units[unit], this.data.units[unit], this.data), make("span", { class: "fine" }, `score ${fixed(score)}`)));
    const [, chunk, pages, chunks, tokens] = this.data.texts[text];
    const [content, kept] = this.#content(text);
    const limit = this.data.limits[side];
    const body = make("div", { class: "body", hidden: true });
    const open = make("button", { type: "button", class: "title", "aria-expanded": "false", dir: "auto" }, titleOf(content) || "(no words)");
    open.addEventListener("click", () => {
      body.hidden = !body.hidden;
      open.setAttribute("aria-expanded", String(!body.hidden));
      if (!body.childElementCount) body.append(...[...textBlock(content, words, kept),
        make("p", { class: "fine" }, [`score ${fixed(score)}`, chunk === this.data.units[unit] ? "" : chunk, chunks > 1 ? `${chunks} chunks have this text` : "",
          limit !== null && tokens > limit ? `the model read ${limit} of ${tokens} tokens` : ""].filter(Boolean).join(" · "))].filter(Boolean));
    });
    return make("li", { class: "hit" },
      make("span", { class: "rank" }, String(rank)),
      make("div", { class: "about" }, ...about,
        unitName(this.data.units[unit], pages[0], this.data), open),
      body);
  }

  #word(at, unit) {
    const grade = this.grades[at].get(unit);
    const author = this.data.queries[at].byModels.includes(unit) ? ", says a model" : "";
    return grade === undefined ? "unjudged" : (grade > 0 ? `relevant ${grade}` : "not relevant") + author;
  }

  #grade(at, unit) {
    const grade = this.grades[at].get(unit);
    return make("span", { class: `grade ${grade === undefined ? "open" : grade > 0 ? "good" : "bad"}` }, this.#word(at, unit));
  }

  /* What is relevant and in none of the lists. */
  #absent(at, sides) {
    const query = this.data.queries[at];
    const shown = new Set(sides.flatMap((system) => query.hits[system].map(([unit]) => unit)));
    const absent = query.judged.filter(([unit, grade]) => grade > 0 && !shown.has(unit));
    if (!absent.length) return null;
    const items = absent.map(([unit, grade]) => {
      const places = sides.map((system) => `${this.data.systems[system].name}: ${this.ranks[at].get(unit)[system] ? `rank ${this.ranks[at].get(unit)[system]}` : "not retrieved"}`);
      return make("li", {}, make("bdi", { class: "unit" }, this.data.units[unit]), ` (relevant ${grade}) `, make("small", {}, places.join(" · ")));
    });
    return make("div", {}, make("h4", {}, "Relevant, and in neither list"), make("ul", {}, ...items));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = /^(input|select|textarea)$/i.test(event.target.tagName) && event.target.type !== "radio";
    if (event.key === "/" && !typing) { event.preventDefault(); document.getElementById("search").focus(); return; }
    if (event.target.id === "search" && event.key === "ArrowDown") { event.preventDefault(); this.list.querySelector(".row")?.focus(); return; }
    const row = event.target.closest?.("#list > li")?.querySelector(".row");
    if (!row || typing) return;
    const rows = [...this.list.querySelectorAll(".row")];
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (step) { event.preventDefault(); (rows[rows.indexOf(row) + step] ?? row).focus(); }
    if (event.key === "Escape") { this.toggle(row, document.getElementById(row.getAttribute("aria-controls")), Number(row.dataset.at), false); row.focus(); }
  }
}

/* `after`: this list is the right one, `there` the rank before. */
function movement(rank, there, after) {
  if (!there) return after ? "↑ new" : "↓ lost";
  if (there === rank) return after ? `= was ${there}` : `= now ${there}`;
  const arrow = (after ? there > rank : there < rank) ? "↑" : "↓";
  return after ? `${arrow} was ${there}` : `${arrow} now ${there}`;
}
