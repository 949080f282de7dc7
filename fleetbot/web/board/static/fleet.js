// The first page: what waits for people, the lists of tasks, the agents, and what happens.

import { el, fill, prose, said, time } from "./dom.js";
import { path, remedy, row } from "./parts.js";
import * as server from "./server.js";

const MOST_NEWS = 25;
const STANDING = {
  free: "free",
  busy: "at work",
  offline: "offline",
  unwell: "unwell",
  rests: "rests",
  drained: "drained",
  away: "away",
};
const find = (id) => document.getElementById(id);
const NONE = {
  working: "No agent is at work.",
  queued: "The queue is empty.",
  stopped: "Nothing has stopped.",
  done: "Nothing is over yet.",
  all: "There are no tasks yet. An issue becomes one by the label of the fleet.",
};

export class Fleet {
  constructor() {
    this.list = "working";
    this.places = [""]; // where the pages that were shown begin
    this.repo = "";
    this.issue = "";
    this.news = [];
    this.forge = "";
    this.onWish = () => {};
    this.listen();
  }

  listen() {
    find("lists").addEventListener("click", (click) => {
      const button = click.target.closest("button[data-list]");
      if (button) this.choose({ list: button.dataset.list, issue: "" });
    });
    find("find-repo").addEventListener("change", (change) => this.choose({ repo: change.target.value }));
    find("find-issue").addEventListener("input", (input) => {
      const digits = input.target.value.replace(/[^0-9]/g, "").slice(0, 9);
      this.choose({ issue: Number(digits) ? digits : "" });
    });
    find("find").addEventListener("submit", (submit) => submit.preventDefault());
    find("page-after").addEventListener("click", () => this.turn(this.next));
    find("page-before").addEventListener("click", () => this.turn(null));
  }

  choose(wish) {
    Object.assign(this, wish, { places: [""] });
    if (!this.issue) find("find-issue").value = "";
    this.onWish();
  }

  turn(next) {
    if (next) this.places.push(next);
    else if (this.places.length > 1) this.places.pop();
    this.onWish(() => find("tasks-title").scrollIntoView({ block: "start" }));
  }

  page() {
    const given = { list: this.list, repo: this.repo };
    return server.tasks(this.issue ? { ...given, issue: this.issue } : { ...given, after: this.places.at(-1) });
  }

  show(glance) {
    this.forge = glance.forge;
    this.showScope(glance.viewer);
    find("version").textContent = `fleetbot ${glance.version}`;
    const halts = [
      ...glance.halts.map((says) => ({ name: "", says })),
      ...glance.troubles,
    ];
    fill(find("halts"), halts, (its) => `${its.name} ${its.says}`, halt);
    this.showNeeds(glance);
    this.showNumbers(glance);
    const agents = glance.agents.length ? glance.agents : [null];
    const more = glance.more_agents ? [{ more: glance.more_agents }] : [];
    fill(find("agents"), [...agents, ...more], (its) => its?.name ?? "", agent);
  }

  showScope(viewer) {
    const names = viewer.repos.join(", ");
    const all = viewer.repos.length ? `all repositories` : "no repository yet";
    const some = viewer.repos.length > 2 ? `${viewer.repos.length} repositories` : names || "no repository";
    find("scope").textContent = viewer.sees_all ? all : some;
    find("scope").title = names;
    find("leave").hidden = !viewer.until;
    const select = find("find-repo");
    const known = ["", ...viewer.repos];
    if (known.join("\n") === [...select.options].map((option) => option.value).join("\n")) return;
    select.replaceChildren(...known.map((name) => el("option", { value: name }, name || "all")));
    select.value = known.includes(this.repo) ? this.repo : "";
  }

  showNeeds(glance) {
    const shown = glance.needs.reduce((sum, need) => sum + need.number, 0);
    const left = glance.needing - shown;
    find("needs-title").textContent = glance.needing ? `Waiting for a person: ${glance.needing}` : "Waiting for a person";
    const items = [...glance.needs, ...(left > 0 ? [{ left }] : []), ...(glance.needing ? [] : [{ left: 0 }])];
    fill(
      find("needs"),
      items,
      (need) => need.task?.id ?? "rest",
      (need) => {
        if (need.task) return row(need.task, this.forge, need.number);
        const words = need.left ? `… and ${need.left} more: see “Stopped” and “In the queue”.` : "Nothing waits for a person.";
        return el("li", { class: need.left ? "soft" : "card well" }, words);
      },
    );
  }

  showNumbers({ counts, today }) {
    const numbers = { working: counts.working, queued: counts.queued, stopped: counts.stopped };
    for (const button of find("lists").querySelectorAll("button")) {
      const number = button.querySelector(".number");
      if (number) number.textContent = String(numbers[button.dataset.list]);
      button.setAttribute("aria-pressed", String(!this.issue && button.dataset.list === this.list));
    }
    const done = [`${today.verified} verified`, `${today.merged} merged`, `${today.failed} failed`];
    this.today = `Today: ${done.join(", ")}`;
  }

  showTasks(page) {
    this.next = page.next;
    const nothing = this.issue ? `There is no task of issue ${this.issue} here.` : NONE[this.list];
    const items = page.tasks.length ? page.tasks : [null];
    fill(
      find("tasks"),
      items,
      (task) => task?.id ?? `none ${nothing}`,
      (task) => (task ? row(task, this.forge) : el("li", { class: "card soft" }, nothing)),
    );
    this.showPlace(page);
  }

  showPlace(page) {
    const before = (this.places.length - 1) * 50;
    const total = page.total === null || page.total === undefined ? "" : ` of ${page.total}`;
    find("page-where").textContent = page.tasks.length ? `${before + 1} to ${before + page.tasks.length}${total}` : "";
    find("page-before").disabled = this.places.length < 2;
    find("page-after").disabled = !page.next;
    find("pages").hidden = Boolean(this.issue) || (this.places.length < 2 && !page.next);
  }

  hear(event) {
    this.news.unshift(event);
    this.news.length = Math.min(this.news.length, MOST_NEWS);
  }

  showNews() {
    const items = [...(this.today ? [{ today: this.today }] : []), ...(this.news.length ? this.news : [{ none: true }])];
    fill(find("news"), items, (event) => event.seq ?? (event.none ? "none" : "today"), news);
  }
}

function halt({ name, says }) {
  return el("p", { class: "card halt" }, name ? el("b", {}, `Trouble with ${name}: `) : null, prose(says));
}

function agent(its) {
  if (its === null) return el("li", { class: "card soft" }, "No agent is registered yet.");
  if (its.more) return el("li", { class: "soft" }, `… and ${its.more} more: `, el("code", {}, "!fleet agents"));
  const slots = its.max_concurrency > 1 ? ` (${its.runs.length} of ${its.max_concurrency})` : "";
  return el(
    "li",
    { class: `card agent ${its.standing}` },
    el(
      "div",
      { class: "headline" },
      el("b", { class: "title" }, said(its.name)),
      el("span", { class: `chip ${its.standing}` }, `${STANDING[its.standing] ?? its.standing}${slots}`),
    ),
    el("p", { class: "meta" }, [its.adapter, its.host && `on ${its.host}`, its.account && `account ${its.account}`, its.capabilities.length && `can ${its.capabilities.join(", ")}`].filter(Boolean).map((word) => said(word, "span"))),
    its.says ? el("p", {}, prose(its.says), its.until ? [" Again ", time(its.until, "until"), "."] : []) : null,
    its.ills.length ? el("ul", { class: "details" }, its.ills.map((line) => prose(line, "li"))) : null,
    remedy(its.remedy),
    its.runs.length ? el("ul", { class: "runs" }, its.runs.map(run)) : null,
  );
}

function run(its) {
  const what = its.task
    ? el("a", { href: path(its.task), dir: "auto" }, `${its.ref} ${its.title}`)
    : el("i", {}, "a task that you do not see");
  return el("li", {}, what, el("span", { class: "soft" }, its.is_checked ? "being checked, " : "", time(its.since, "for")));
}

function news(event) {
  if (event.today) return el("li", { class: "soft" }, event.today);
  if (event.none) return el("li", { class: "soft" }, "Nothing has happened yet.");
  const about = event.task
    ? el("a", { href: path(event.task), dir: "auto" }, `${event.ref} ${event.title}`)
    : event.agent
      ? el("b", {}, said(event.agent))
      : null;
  return el(
    "li",
    {},
    el("p", { class: "about" }, about, event.task ? null : " ", event.task ? null : prose(event.says)),
    event.task ? el("p", {}, prose(event.says), event.by ? el("span", { class: "soft" }, " · ", said(event.by)) : null) : null,
    el("p", { class: "soft" }, time(event.at, "ago")),
  );
}
