// What tasks look like wherever they are shown.

import { away, el, prose, said, time } from "./dom.js";

const STATES = {
  created: "waiting",
  agent_lost: "lost with its agent",
};

export const ref = (task) => `${task.repo}#${task.issue}`;
export const path = (id) => `#/task/${encodeURIComponent(id)}`;

export function chip(task) {
  if (task.waiting?.reason === "question") return el("span", { class: "chip asks" }, "has a question");
  const state = task.pull?.state === "merged" ? "merged" : task.state;
  return el("span", { class: `chip ${state}` }, STATES[state] ?? state);
}

export function traits(task) {
  return [
    task.priority === "normal" ? null : el("span", { class: `tag ${task.priority}` }, `${task.priority} priority`),
    task.kind && task.kind !== "task" ? el("span", { class: "tag" }, said(task.kind)) : null,
    ...task.flags.map((flag) => el("span", { class: "tag warn" }, flag === "nobody" ? "nobody can" : flag)),
  ];
}

export function pull(task, forge) {
  const its = task.pull;
  if (!its) return null;
  const says = its.says && its.says !== its.state ? `: ${its.says}` : "";
  return el("span", { class: "pull" }, away(forge, its.url, `PR #${its.number}`), prose(says));
}

// Why it does not move, since when, until when, and what would move it.
export function wait(its) {
  if (!its) return null;
  const ends = its.until ? [" The wait is over at the latest ", time(its.until, "until"), "."] : [];
  return el(
    "div",
    { class: "wait" },
    el("p", {}, prose(its.text), " ", el("span", { class: "soft" }, time(its.since, "far"), ".", ...ends)),
    its.details.length ? el("ul", { class: "details" }, its.details.map((line) => prose(line, "li"))) : null,
    remedy(its.remedy),
  );
}

// What would help.
export const remedy = (words) => (words ? el("p", { class: "remedy" }, el("span", { "aria-hidden": "true" }, "→ "), prose(words)) : null);

// A task in a list; `many`: so many wait for the same.
export function row(task, forge, many = 1) {
  const more = many > 1 ? el("p", { class: "soft" }, `and ${many - 1} more that wait for the same`) : null;
  return el(
    "li",
    { class: "card task" },
    el(
      "div",
      { class: "headline" },
      chip(task),
      el("a", { class: "title", href: path(task.id), dir: "auto" }, task.title || "(no title)"),
    ),
    el(
      "p",
      { class: "meta" },
      el("span", { class: "ref" }, away(forge, task.url, said(ref(task)))),
      task.agent ? el("span", {}, task.state === "created" ? "for " : "", el("b", {}, said(task.agent))) : null,
      task.attempt > 1 ? el("span", {}, `attempt ${task.attempt}`) : null,
      ...traits(task),
      pull(task, forge),
      task.waiting ? null : el("span", { class: "age" }, time(task.since, "for")),
    ),
    task.waiting ? wait(task.waiting) : null,
    !task.waiting && task.reason ? el("p", { class: "soft" }, `${task.reason}.`) : null,
    more,
  );
}
