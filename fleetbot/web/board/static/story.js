// One task's whole story: where it is, what verified it, and all that happened.

import { away, el, moment, prose, said, span, time } from "./dom.js";
import { chip, pull, ref, traits, wait } from "./parts.js";

const GREEN = new Set(["success", "skipped"]);
const MARKS = [
  [/^receipt\.verified|^task\.completed|^pull\.merged/, "good", "✓"],
  [/^receipt\.refuted|^task\.failed|^task\.agent_lost|^pull\.not_landed/, "bad", "✗"],
  [/^run\.asked|^pull\.asked|^task\.stuck|^receipt\.unknown/, "ask", "?"],
];

export function story(its, forge) {
  return [facts(its, forge), ...(its.task.waiting ? [present(its.task)] : []), ...proofs(its, forge), timeline(its)];
}

function facts(its, forge) {
  const task = its.task;
  const rows = [
    ["Issue", away(forge, task.url, said(ref(task)))],
    ["Pull request", pull(task, forge)],
    ["Agent", task.agent ? said(task.agent) : null],
    ["Opened by", its.author ? said(its.author) : null],
    ["From", its.base ? said(its.base, "code") : null],
    ["On branch", its.branch ? said(its.branch, "code") : null],
    ["Needs", its.needs.length ? said(its.needs.join(", ")) : null],
    ["Runs", its.runs ? String(its.runs) : null],
    ["Used", used(its.spent)],
    ["Taken up", time(task.created_at, "ago")],
  ];
  return el(
    "section",
    { class: "card", "aria-label": "In short" },
    el("p", { class: "meta" }, chip(task), el("span", {}, time(task.since, "for")), ...traits(task)),
    task.reason ? el("p", {}, `${task.reason}.`) : null,
    its.pull_says.map((line) => prose(line, "p")),
    el("dl", { class: "facts" }, rows.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
  );
}

function used(spent) {
  const tokens = (spent.input_tokens ?? 0) + (spent.output_tokens ?? 0);
  const money = spent.cost_usd ? `, $${spent.cost_usd.toFixed(2)}` : "";
  return tokens ? `${tokens.toLocaleString()} tokens${money}` : null;
}

function present(task) {
  return el("section", { class: "card now", "aria-labelledby": "why-title" }, el("h2", { id: "why-title" }, "Why it does not move"), wait(task.waiting));
}

function proofs(its, forge) {
  return its.proofs.map((proof, place) =>
    el(
      "section",
      { class: "card proof", "aria-labelledby": `proof-${place}` },
      el("h2", { id: `proof-${place}` }, place ? "What verified it before" : "What verified it"),
      el("p", { class: "soft" }, "Read from Forgejo ", time(proof.checked_at, "ago"), proof.agent ? [", of what ", said(proof.agent), " handed in. "] : ". ", "Nothing of it is an agent’s word."),
      el("dl", { class: "facts proven" }, proof.facts.map((fact) => proven(fact, forge))),
      contexts(proof),
      files(proof),
      proof.summary ? el("details", {}, el("summary", {}, "What the agent said of it"), said(proof.summary, "p", { class: "said" })) : null,
    ),
  );
}

function proven(fact, forge) {
  const isCommit = /^[0-9a-f]{40,64}$/.test(fact.value);
  const value = isCommit ? el("code", { title: fact.value }, fact.value.slice(0, 12)) : said(fact.value);
  return el(
    "div",
    {},
    el("dt", {}, fact.name),
    el("dd", {}, fact.url ? away(forge, fact.url, value) : value, fact.holds ? el("p", { class: "holds" }, el("span", { "aria-hidden": "true" }, "✓ "), fact.holds) : null),
  );
}

function contexts(proof) {
  if (!proof.contexts.length) return null;
  const rows = proof.contexts.map((one) =>
    el("li", {}, el("span", { class: GREEN.has(one.state) ? "good" : "ask", "aria-hidden": "true" }, GREEN.has(one.state) ? "✓ " : "• "), said(one.name), " ", el("b", {}, said(one.state))),
  );
  const more = proof.more_contexts ? el("li", { class: "soft" }, `… and ${proof.more_contexts} more`) : null;
  return el("div", {}, el("h3", {}, "CI, context by context"), el("ul", { class: "contexts" }, rows, more));
}

function files(proof) {
  if (!proof.files.length) return null;
  const number = proof.files.length + proof.more_files;
  return el(
    "details",
    {},
    el("summary", {}, number === 1 ? "The file" : `The ${number} files`),
    el("ul", { class: "files" }, proof.files.map((name) => said(name, "li")), proof.more_files ? el("li", {}, `… and ${proof.more_files} more`) : null),
  );
}

function timeline(its) {
  const earlier = its.earlier ? el("li", { class: "soft" }, `… ${its.earlier} earlier steps are left out`) : null;
  const archived = its.archived ? el("li", { class: "soft" }, `The first ${its.archived} events are in the journal's archive`) : null;
  let before = 0;
  const steps = its.steps.map((step) => {
    const made = told(step, before);
    before = step.at;
    return made;
  });
  return el("section", { class: "card", "aria-labelledby": "steps-title" }, el("h2", { id: "steps-title" }, "What happened"), el("ol", { class: "plain steps" }, archived, earlier, steps));
}

function told(step, before) {
  const [, kind, mark] = MARKS.find(([pattern]) => pattern.test(step.type)) ?? [null, "", "·"];
  const later = before ? (step.at - before < 1000 ? "at once" : `${span(step.at - before)} later`) : "";
  const when = el("time", { datetime: new Date(step.at).toISOString() }, moment(step.at));
  return el(
    "li",
    { class: kind },
    el("span", { class: "mark", "aria-hidden": "true" }, mark),
    el(
      "div",
      {},
      el("p", {}, prose(step.says), step.times > 1 ? `, ${step.times} times` : ""),
      el("p", { class: "soft" }, when, later ? ` · ${later}` : "", step.by ? [" · ", said(step.by)] : ""),
      step.details.length ? el("ul", { class: "details" }, step.details.map((line) => prose(line, "li"))) : null,
    ),
  );
}
