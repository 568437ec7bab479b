"use strict";
/* Judging what nobody has judged, blind to the system. Grades stay in this browser until they are exported. */

class Judge {
  constructor(data) {
    this.data = data;
    this.name = `qembed.judgements.${data.key}`;
    this.root = document.getElementById("judging");
    this.stored = this.#load();
    this.order = "rank";
    this.past = [];
    this.#texts();
    this.#frame();
    this.#sort();
    this.at = this.#next(-1);
    this.root.hidden = false;
    this.show();
  }

  #load() {
    try {
      const found = JSON.parse(localStorage.getItem(this.name));
      if (found && typeof found.grades === "object") return found;
    } catch { /* no storage, or not ours: begin anew */ }
    return { judge: "", grades: {} };
  }

  #save() {
    try {
      localStorage.setItem(this.name, JSON.stringify(this.stored));
      this.kept = true;
    } catch { this.kept = false; }
  }

  /* Every text that a query's unit was found by, whichever system found it. */
  #texts() {
    this.found = this.data.queries.map((query) => {
      const texts = new Map();
      for (const hits of query.hits) for (const [unit, text] of hits) texts.set(unit, (texts.get(unit) ?? new Set()).add(text));
      return texts;
    });
  }

  key([query, unit]) { return `${this.data.queries[query].id}\t${this.data.units[unit]}`; }

  #sort() {
    const items = this.data.unjudged.filter(([query, unit]) => this.found[query].has(unit));
    if (this.order === "query") items.sort((a, b) => a[0] - b[0] || a[2] - b[2]);
    this.items = items;
  }

  #next(from) {
    for (let at = from + 1; at < this.items.length; at += 1) if (!(this.key(this.items[at]) in this.stored.grades)) return at;
    for (let at = 0; at <= from; at += 1) if (!(this.key(this.items[at]) in this.stored.grades)) return at;
    return this.items.length;
  }

  #frame() {
    this.card = make("div", { id: "card", tabindex: "0", role: "group", "aria-label": "What is to be judged" });
    this.bar = make("progress", { max: 1, value: 0, "aria-label": "Judged" });
    this.status = make("p", { role: "status", class: "fine" });
    const who = make("input", { type: "text", id: "who", autocomplete: "name", value: this.stored.judge });
    who.addEventListener("input", () => { this.stored.judge = who.value; this.#save(); });
    const order = make("select", { id: "judge-order" }, make("option", { value: "rank" }, "best ranks first"), make("option", { value: "query" }, "query by query"));
    order.addEventListener("change", () => { this.order = order.value; this.#sort(); this.at = this.#next(-1); this.show(); });
    this.export = make("button", { type: "button", class: "button", id: "export", onclick: () => this.download() }, "Export qrels.tsv");
    const clear = make("button", { type: "button", class: "button", id: "clear" }, "Forget all");
    clear.addEventListener("click", () => {
      if (!confirm(`Forget ${Object.keys(this.stored.grades).length} judgements that this browser keeps?`)) return;
      this.stored.grades = {};
      this.past = [];
      this.#save();
      this.at = this.#next(-1);
      this.show();
    });
    this.root.append(
      make("div", { class: "export" }, make("label", {}, "Your name", who), make("label", {}, "Order", order)),
      this.bar, this.status, this.card,
      make("div", { class: "export" }, this.export, clear),
      make("p", { class: "fine" }, "Bring them back with ", make("code", {}, `qembed evalset merge-judgements EVAL_SET qrels.tsv`), ", then bench and report again."));
    this.card.addEventListener("keydown", (event) => this.#key(event));
  }

  grade(value) {
    if (this.at >= this.items.length) return;
    const key = this.key(this.items[this.at]);
    this.past.push({ key, before: this.stored.grades[key], at: this.at });
    this.stored.grades[key] = { grade: value, at: new Date().toISOString().slice(0, 19) + "Z" };
    this.#save();
    this.at = this.#next(this.at);
    this.show();
  }

  undo() {
    const last = this.past.pop();
    if (!last) return;
    if (last.before) this.stored.grades[last.key] = last.before;
    else delete this.stored.grades[last.key];
    this.#save();
    this.at = last.at;
    this.show();
  }

  move(step) {
    this.at = Math.min(Math.max(this.at + step, 0), this.items.length);
    this.show();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = { 0: () => this.grade(0), 1: () => this.grade(1), 2: () => this.grade(2), u: () => this.undo(), s: () => this.move(1), ArrowRight: () => this.move(1), ArrowLeft: () => this.move(-1) }[event.key];
    if (act) { event.preventDefault(); act(); }
  }

  show() {
    const done = this.items.filter((item) => this.key(item) in this.stored.grades).length;
    const held = this.card.contains(document.activeElement);
    this.bar.max = Math.max(this.items.length, 1);
    this.bar.value = done;
    this.export.disabled = !Object.keys(this.stored.grades).length;
    this.status.textContent = `${done} of ${this.items.length} judged.${this.kept === false ? " This browser does not keep them: export before you close the page." : ""}`;
    this.card.replaceChildren(...(this.at < this.items.length ? this.#item(this.items[this.at]) : this.#end(done)));
    if (held) this.card.focus({ preventScroll: true });
  }

  #item(item) {
    const [at, unit] = item;
    const query = this.data.queries[at];
    const given = this.stored.grades[this.key(item)]?.grade;
    const contents = new Set([...this.found[at].get(unit)].map((text) => this.data.texts[text][0]));
    const texts = [...contents].map((number) => {
      const [content, kept] = this.data.contents[number];
      return make("div", { class: "judged-text", tabindex: "0", role: "group", "aria-label": "Text" }, make("p", { dir: "auto" }, content), kept ? make("p", { class: "fine" }, `${kept.toLocaleString("en")} more characters are not in this page.`) : null);
    });
    const page = this.data.texts[[...this.found[at].get(unit)][0]][2][0];
    const button = (value, label) => make("button", { type: "button", class: "button", "aria-pressed": String(given === value), onclick: () => { this.card.focus({ preventScroll: true }); this.grade(value); } }, label);
    return [
      make("h3", { dir: "auto" }, query.text || query.id),
      make("p", { class: "fine" }, unitName(this.data.units[unit], page, this.data)),
      ...texts,
      make("div", { class: "grades" }, button(0, "0 does not help"), button(1, "1 helps"), button(2, "2 answers it"),
        make("button", { type: "button", class: "button", onclick: () => this.move(-1) }, "Back"),
        make("button", { type: "button", class: "button", onclick: () => this.move(1) }, "Skip"),
        make("button", { type: "button", class: "button", onclick: () => this.undo(), disabled: !this.past.length }, "Undo")),
    ];
  }

  #end(done) {
    const words = !this.items.length ? "Everything on top has been judged." : done === this.items.length ? "All judged. Export them, and thank you." : "That was the last one; some were skipped.";
    return [make("p", {}, words), this.items.length ? make("button", { type: "button", class: "button", onclick: () => this.move(-1) }, "Back") : null].filter(Boolean);
  }

  rows() {
    const judge = this.stored.judge.replace(/\s+/g, " ").trim();
    return Object.entries(this.stored.grades).map(([key, { grade, at }]) => `${key}\t${grade}\t${judge}\t${at}`);
  }

  download() {
    download("qrels.tsv", "text/tab-separated-values", ["query-id\tcorpus-id\tscore\tjudge\tjudged-at", ...this.rows(), ""].join("\n"));
  }
}
