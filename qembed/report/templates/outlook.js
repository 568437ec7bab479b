"use strict";
/* How the comparison stands: evaluation/diagnose/outlook.py says it in Python, and gives the numbers and the words. */

const NO_DIFFERENCE = 1e-9;

const sumOf = (values) => values.reduce((sum, value) => sum + value, 0);

/* Gaffke's bound as evaluation/statistics/bounds.py computes it, with -1 as the value that was not drawn. */
function chanceBelowZero(values, copies = 1) {
  const every = [...values, -1];
  const shapes = every.map((_, i) => (i < values.length ? copies : 1));
  if (!every.some((value) => value > 0)) return 1;
  const at = (time) => every.reduce(([size, phase, turns], value, i) => {
    const product = value * time;
    return [size - 0.5 * shapes[i] * Math.log1p(product * product), phase + shapes[i] * Math.atan(product), turns + (shapes[i] * product) / (1 + product * product)];
  }, [0, 0, 0]);
  const first = -0.5 * Math.log(sumOf(every.map((value, i) => shapes[i] * value * value))) - 8;
  let [last, turning, size] = [first, 0, 0];
  do {
    for (let ahead = 0; ahead < 2.5; ahead += 0.5) {
      const [found, , turns] = at(Math.exp(last + ahead));
      if (found > -21) turning = Math.max(turning, Math.abs(turns));
      size = found;
    }
    last += 2.5;
  } while (size >= -21);
  const step = Math.max(Math.min(0.1, 1 / Math.max(turning, 1)), (last - first) / 20_000);
  let [total, before] = [0, 0];
  for (let i = 0; first + i * step < last; i += 1) {
    const [found, phase] = at(Math.exp(first + i * step));
    const term = Math.exp(found) * Math.sin(phase);
    if (i === 0) before = term / Math.expm1(step);
    total += term;
  }
  return Math.min(1, Math.max(0, 0.5 - (step * (before + total)) / Math.PI));
}

/* 1 where the system is shown to be ahead, -1 where the baseline is, else 0. */
function shownAhead(differences, level, copies = 1) {
  const total = sumOf(differences);
  for (const side of [1, -1]) {
    if (side * total > NO_DIFFERENCE && chanceBelowZero(differences.map((one) => side * one), copies) <= level) return side;
  }
  return 0;
}

function moreJudgements(leads, undecided, level, given, left) {
  const enough = (added) => shownAhead(leads, level, (leads.length + added) / leads.length) !== 0;
  if (!undecided || !enough(undecided)) return null;
  let [low, high] = [0, undecided];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (enough(middle)) high = middle;
    else low = middle;
  }
  return Math.min(left, Math.ceil((high * given) / leads.length));
}

function idealOf(grades) {
  return sumOf([...grades].sort((a, b) => b - a).slice(0, 10).map((grade, i) => Math.max(grade, 0) / Math.log2(i + 2)));
}

/* The farthest that a difference can be to the side of `full`, the largest ideal with that sign. */
function extremeOf(total, full, ideal) {
  if (Math.abs(total) <= NO_DIFFERENCE) return 0;
  if (total > 0 !== full > 0) return total / Math.abs(full);
  return Math.abs(total) < ideal ? total / ideal : Math.sign(full);
}

/* One question: the first results of both, best first; `grades` is unit -> grade of all that is judged; `holes` results may still be. */
function questionOf(system, baseline, grades, highest, holes) {
  const pulls = new Map();
  for (const [units, sign] of [[system, 1], [baseline, -1]]) {
    units.forEach((unit, i) => pulls.set(unit, (pulls.get(unit) ?? 0) + sign / Math.log2(i + 2)));
  }
  let [now, least, most, given, left] = [0, 0, 0, 0, 0];
  for (const [unit, pull] of pulls) {
    if (pull === 0) continue;
    if (grades.has(unit)) {
      now += pull * grades.get(unit);
      given += 1;
    } else {
      least += Math.min(0, pull) * highest;
      most += Math.max(0, pull) * highest;
      left += 1;
    }
  }
  const ideal = idealOf(grades.values());
  const full = idealOf([...grades.values(), ...Array(holes).fill(highest)]);
  const question = [ideal ? now / ideal : 0, extremeOf(now + least, -full, ideal), extremeOf(now + most, full, ideal)];
  return { question, given, left };
}

/* `questions`: [now, low, high] of each; `given`, `left`: results that bear on the difference, judged and not. */
function outlook(questions, rule, given, left) {
  const [now, low, high] = [0, 1, 2].map((at) => questions.map((question) => question[at]));
  const [best, worst] = [shownAhead(high, rule.level), shownAhead(low, rule.level)];
  const leads = now.filter((one) => Math.abs(one) > NO_DIFFERENCE);
  let [state, more] = ["early", null];
  if (worst > 0) state = "better";
  else if (best < 0) state = "worse";
  else if (best <= 0 && worst >= 0) state = "impossible";
  else {
    const lead = shownAhead(now, rule.level);
    if (lead) state = lead > 0 ? "ahead" : "behind";
    else if (leads.length >= rule.leastLeads) {
      const undecided = questions.filter((one) => Math.abs(one[0]) <= NO_DIFFERENCE && one[2] - one[1] > NO_DIFFERENCE).length;
      more = moreJudgements(leads, undecided, rule.level, given, left);
      state = more === null ? "too few" : "more";
    }
  }
  const better = leads.filter((one) => one > 0).length;
  return { state, better, equal: questions.length - leads.length, worse: leads.length - better, given, left, more };
}

function outlookWords(found, rule, system, baseline) {
  const values = { new: system, old: baseline, better: found.better, equal: found.equal, worse: found.worse,
    left: found.left.toLocaleString("en"), more: found.more, questions: found.better + found.equal + found.worse };
  return (rule.soFar + rule.words[found.state]).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}
