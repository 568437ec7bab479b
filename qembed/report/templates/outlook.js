"use strict";
/* How the comparison stands: evaluation/diagnose/outlook.py says it in Python, and gives the numbers and the words. */

const NO_DIFFERENCE = 1e-9;

function counted(differences) {
  const above = differences.filter((one) => one > NO_DIFFERENCE).length;
  const below = differences.filter((one) => one < -NO_DIFFERENCE).length;
  return { above, below, equal: differences.length - above - below, total: differences.reduce((sum, one) => sum + one, 0) };
}

/* 1 where the system is shown to be ahead, -1 where the baseline is, else 0. */
function shownAhead({ above, below, total }, critical) {
  if (Math.min(above, below) > critical[above + below]) return 0;
  if (above > below && total > NO_DIFFERENCE) return 1;
  return above < below && total < -NO_DIFFERENCE ? -1 : 0;
}

function moreJudgements(now, undecided, critical, given, left) {
  const leads = now.above + now.below;
  const minor = Math.min(now.above, now.below);
  for (let added = 1; added <= undecided; added += 1) {
    if (Math.ceil(minor + (added * minor) / leads) <= critical[leads + added]) return Math.min(left, Math.ceil((added * given) / leads));
  }
  return null;
}

/* One question: the first results of both, best first; `gradeOf` gives a number, or anything else for an unjudged one. */
function questionOf(system, baseline, gradeOf, highest) {
  const pulls = new Map();
  for (const [units, sign] of [[system, 1], [baseline, -1]]) {
    units.forEach((unit, i) => pulls.set(unit, (pulls.get(unit) ?? 0) + sign / Math.log2(i + 2)));
  }
  let [now, low, high, given, left] = [0, 0, 0, 0, 0];
  for (const [unit, pull] of pulls) {
    if (pull === 0) continue;
    const grade = gradeOf(unit);
    if (typeof grade === "number") {
      now += pull * grade;
      given += 1;
    } else {
      low += Math.min(0, pull) * highest;
      high += Math.max(0, pull) * highest;
      left += 1;
    }
  }
  return { question: [now, now + low, now + high], given, left };
}

/* `questions`: [now, low, high] of each; `given`, `left`: results that bear on the difference, judged and not. */
function outlook(questions, rule, given, left) {
  const [now, low, high] = [0, 1, 2].map((at) => counted(questions.map((question) => question[at])));
  const [best, worst] = [shownAhead(high, rule.critical), shownAhead(low, rule.critical)];
  const lead = shownAhead(now, rule.critical);
  let [state, more] = ["early", null];
  if (worst > 0) state = "better";
  else if (best < 0) state = "worse";
  else if (best <= 0 && worst >= 0) state = "impossible";
  else if (lead) state = lead > 0 ? "ahead" : "behind";
  else if (now.above + now.below >= rule.leastLeads) {
    const undecided = questions.filter((one) => Math.abs(one[0]) <= NO_DIFFERENCE && one[2] - one[1] > NO_DIFFERENCE).length;
    more = moreJudgements(now, undecided, rule.critical, given, left);
    state = more === null ? "too few" : "more";
  }
  return { state, better: now.above, equal: now.equal, worse: now.below, given, left, more };
}

function outlookWords(found, rule, system, baseline) {
  const values = { new: system, old: baseline, better: found.better, equal: found.equal, worse: found.worse,
    left: found.left.toLocaleString("en"), more: found.more, questions: found.better + found.equal + found.worse };
  return (rule.soFar + rule.words[found.state]).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}
