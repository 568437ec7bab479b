"use strict";
/* Judging unjudged results, blind to the system. Grades stay in this browser until they are exported. */

const GRADES = [[0, "0 does not help"], [1, "1 helps"], [2, "2 answers it"], ["?", "? cannot tell"]];
const MOST_SECONDS = 300;  // a longer pause is no work

class Judge {
  constructor(data) {
    this.data = data;
    this.name = `qembed.judgements.${data.key}`;
    this.root = document.getElementById("judging");
    this.stored = this.#load();
    this.order = "decides";
    this.#texts();
    this.#sort();
    if (!this.items.length) {
      this.root.append(make("p", {}, "Everything on top has been judged."));
      this.root.hidden = false;
      return;
    }
    this.#frame();
    this.at = this.#next(-1);
    this.root.hidden = false;
    this.show();
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  #load() {
    const empty = { judge: "", grades: {}, needs: {}, past: [] };
    try {
      const found = JSON.parse(localStorage.getItem(this.name));
      if (found && typeof found.grades === "object") return { ...empty, ...found };
    } catch { /* no storage, or not ours: begin anew */ }
    return empty;
  }

  #save() {
    try {
      localStorage.setItem(this.name, JSON.stringify(this.stored));
      this.kept = true;
    } catch { this.kept = false; }
  }

  /* Per query, the texts of each unit: those that were found; of a judged page, all of it that this file has. */
  #texts() {
    const pages = new Map();
    if (this.data.level === "page") {
      this.data.texts.forEach((text, number) => text[2].forEach((page) => pages.set(page, (pages.get(page) ?? new Set()).add(number))));
    }
    this.found = this.data.queries.map((query) => {
      const texts = new Map();
      for (const hits of query.hits) for (const [unit, text] of hits) texts.set(unit, (texts.get(unit) ?? new Set(pages.get(this.data.units[unit]) ?? [])).add(text));
      return texts;
    });
  }

  key([query, unit]) { return `${this.data.queries[query].id}\t${this.data.units[unit]}`; }

  graded(item) { return this.stored.grades[this.key(item)]; }

  /* As the bench stored them: what can change the difference most comes first. */
  #sort() {
    const items = this.data.unjudged.filter(([query, unit]) => this.found[query].has(unit));
    if (this.order === "query") items.sort((a, b) => a[0] - b[0] || a[2] - b[2]);
    this.items = items;
  }

  #next(from) {
    for (let at = from + 1; at < this.items.length; at += 1) if (!this.graded(this.items[at])) return at;
    for (let at = 0; at <= from; at += 1) if (!this.graded(this.items[at])) return at;
    return this.items.length;
  }

  #frame() {
    this.card = make("div", { id: "card", tabindex: "-1", role: "group", "aria-label": "What is to be judged" });
    this.bar = make("progress", { max: 1, value: 0, "aria-label": "Judged" });
    this.status = make("p", { role: "status", class: "fine" });
    this.queries = make("ol", { id: "judge-queries" });
    this.sofar = make("p");
    const who = make("input", { type: "text", id: "who", autocomplete: "name", value: this.stored.judge });
    who.addEventListener("input", () => { this.stored.judge = who.value; this.#save(); });
    const order = make("select", { id: "judge-order" }, make("option", { value: "decides" }, "what decides first"), make("option", { value: "query" }, "query by query"));
    order.addEventListener("change", () => { this.order = order.value; this.#sort(); this.go(this.#next(-1)); });
    this.export = make("button", { type: "button", class: "button", id: "export", onclick: () => this.download() }, "Export qrels.tsv");
    const clear = make("button", { type: "button", class: "button", id: "clear" }, "Forget all");
    clear.addEventListener("click", () => {
      if (!confirm(`Forget ${Object.keys(this.stored.grades).length} judgements that this browser keeps?`)) return;
      this.stored.grades = {};
      this.stored.past = [];
      this.#save();
      this.go(this.#next(-1));
    });
    this.root.append(
      make("div", { class: "export" }, make("label", {}, "Your name", who), make("label", {}, "Order", order)),
      this.bar, this.status, this.card,
      ...(this.data.judging ? [make("details", { id: "so-far" }, make("summary", {}, "So far (knowing it can bias you)"), this.sofar)] : []),
      make("details", {}, make("summary", {}, "Queries"), this.queries),
      make("div", { class: "export" }, this.export, clear),
      make("p", { class: "fine" }, "Bring them back with ", make("code", {}, this.data.merge), ", then bench and report again."));
  }

  go(at) {
    this.at = Math.min(Math.max(at, 0), this.items.length);
    this.show();
  }

  grade(value) {
    if (this.at >= this.items.length) return;
    const key = this.key(this.items[this.at]);
    const seconds = Math.round((performance.now() - this.shown) / 1000);
    const comment = document.getElementById("comment")?.value.trim() ?? "";
    this.stored.past = [...this.stored.past, { key, before: this.stored.grades[key] ?? null }].slice(-500);
    this.stored.grades[key] = { grade: value, at: new Date().toISOString().slice(0, 19) + "Z", comment, seconds: Math.min(seconds, MOST_SECONDS) };
    this.#save();
    this.go(this.#next(this.at));
  }

  undo() {
    const last = this.stored.past.pop();
    if (!last) return;
    if (last.before) this.stored.grades[last.key] = last.before;
    else delete this.stored.grades[last.key];
    this.#save();
    const at = this.items.findIndex((item) => this.key(item) === last.key);
    this.go(at < 0 ? this.at : at);
  }

  #inSight() {
    const { top, bottom } = this.card.getBoundingClientRect();
    return top < innerHeight && bottom > 0;
  }

  #key(event) {
    const typing = /^(input|select|textarea)$/i.test(event.target.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey || typing || !this.#inSight()) return;
    const act = { 0: () => this.grade(0), 1: () => this.grade(1), 2: () => this.grade(2), "?": () => this.grade("?"), u: () => this.undo(),
      s: () => this.go(this.at + 1), ArrowRight: () => this.go(this.at + 1), ArrowLeft: () => this.go(this.at - 1) }[event.key];
    if (act) { event.preventDefault(); act(); }
  }

  #progress() {
    const done = this.items.filter((item) => this.graded(item));
    const times = done.map((item) => this.graded(item).seconds).filter((seconds) => seconds !== undefined).sort((a, b) => a - b);
    const pace = times.length ? times[Math.floor(times.length / 2)] : null;
    const left = this.items.length - done.length;
    const words = [`${done.length} of ${this.items.length} judged.`];
    if (pace !== null && left) words.push(`${pace} s per item: about ${Math.max(1, Math.round((pace * left) / 60))} min left.`);
    if (this.kept === false) words.push("This browser does not keep them: export before you close the page.");
    return [done.length, words.join(" ")];
  }

  show() {
    const [done, words] = this.#progress();
    const held = this.card.contains(document.activeElement);
    this.bar.max = Math.max(this.items.length, 1);
    this.bar.value = done;
    this.export.disabled = !this.rows().length;
    this.status.textContent = words;
    if (this.data.judging) this.sofar.textContent = this.#soFar();
    this.card.replaceChildren(...(this.at < this.items.length ? this.#item(this.items[this.at]) : this.#end(done)));
    this.#list();
    this.shown = performance.now();
    if (held) this.card.focus({ preventScroll: true });
  }

  /* How the two systems of the headline stand by all grades so far; see outlook.js. */
  #soFar() {
    const rule = this.data.judging;
    const [system, baseline] = rule.pair;
    const grades = this.data.queries.map((query) => new Map(query.judged));
    const holes = this.data.queries.map(() => 0);
    for (const item of this.data.unjudged) {
      const grade = this.graded(item)?.grade;
      if (typeof grade === "number") grades[item[0]].set(item[1], grade);
      else holes[item[0]] += 1;
    }
    const seen = this.data.queries.map((query, at) => {
      const units = (place) => query.hits[place].slice(0, 10).map(([unit]) => unit);
      return questionOf(units(system), units(baseline), grades[at], rule.highest, holes[at]);
    });
    const found = outlook(seen.map((one) => one.question), rule, sumOf(seen.map((one) => one.given)), sumOf(seen.map((one) => one.left)));
    return outlookWords(found, rule, this.data.systems[system].name, this.data.systems[baseline].name);
  }

  #list() {
    const groups = new Map();
    this.items.forEach((item, at) => groups.set(item[0], [...(groups.get(item[0]) ?? []), at]));
    this.queries.replaceChildren(...[...groups].map(([query, places]) => {
      const done = places.filter((at) => this.graded(this.items[at])).length;
      const first = places.find((at) => !this.graded(this.items[at])) ?? places[0];
      return make("li", {}, make("button", { type: "button", class: "more", dir: "auto", onclick: () => this.go(first) },
        `${this.data.queries[query].text || this.data.queries[query].id} (${done} of ${places.length})`));
    }));
  }

  #item(item) {
    const [at, unit] = item;
    const query = this.data.queries[at];
    const given = this.graded(item);
    const numbers = [...this.found[at].get(unit)].sort((a, b) => this.data.texts[a][1].localeCompare(this.data.texts[b][1], "en", { numeric: true }));
    const texts = [...new Set(numbers.map((text) => this.data.texts[text][0]))].map((number) => {
      const [content, kept] = this.data.contents[number];
      return make("div", { class: "judged-text", tabindex: "0", role: "group", "aria-label": "Text" }, make("p", { dir: "auto" }, content),
        kept ? make("p", { class: "fine" }, `${kept.toLocaleString("en")} more characters are not in this page.`) : null);
    });
    const need = make("textarea", { id: "need", rows: "2" });
    need.value = this.stored.needs[query.id] ?? "";
    need.addEventListener("input", () => { this.stored.needs[query.id] = need.value; this.#save(); });
    const comment = make("input", { type: "text", id: "comment", value: given?.comment ?? "" });
    comment.addEventListener("change", () => { if (given) { given.comment = comment.value.trim(); this.#save(); } });
    const button = (value, label) => make("button", { type: "button", class: "button", "aria-pressed": String(given?.grade === value), onclick: () => this.grade(value) }, label);
    const plain = (label, act, disabled = false) => make("button", { type: "button", class: "button", onclick: act, disabled }, label);
    return [
      make("h3", { dir: "auto" }, query.text || query.id),
      make("label", { class: "need" }, "What would answer it? (your note, kept with the query)", need),
      make("p", { class: "fine" }, unitName(this.data.units[unit], this.data.texts[numbers[0]][2][0], this.data),
        this.data.level === "page" ? ` · ${texts.length} ${texts.length === 1 ? "part" : "parts"} of this page in this file` : ""),
      ...texts,
      make("div", { class: "grades" }, ...GRADES.map(([value, label]) => button(value, label))),
      make("label", { class: "need" }, "Comment", comment),
      make("div", { class: "grades" }, plain("Back", () => this.go(this.at - 1)), plain("Skip", () => this.go(this.at + 1)), plain("Undo", () => this.undo(), !this.stored.past.length)),
    ];
  }

  #end(done) {
    const words = done === this.items.length ? "All judged. Export them, and thank you." : "That was the last one; some were skipped.";
    const button = (label, act) => make("button", { type: "button", class: "button", onclick: act }, label);
    return [make("p", {}, words), make("div", { class: "grades" }, button("Back", () => this.go(this.at - 1)), button("Undo", () => this.undo()))];
  }

  /* "Cannot tell" is no grade: it stays here. */
  rows() {
    const line = (text) => (text ?? "").replace(/\s+/g, " ").trim();
    return Object.entries(this.stored.grades).filter(([, { grade }]) => grade !== "?").map(([key, { grade, at, comment }]) =>
      [key, grade, line(this.stored.judge), at, line(comment), line(this.stored.needs[key.split("\t")[0]])].join("\t"));
  }

  download() {
    download("qrels.tsv", "text/tab-separated-values", ["query-id\tcorpus-id\tscore\tjudge\tjudged-at\tcomment\tneed", ...this.rows(), ""].join("\n"));
  }
}
