// The board: lets people in, shows one page or the other, and keeps what is shown true.

import { clock, tick } from "./dom.js";
import { Fleet } from "./fleet.js";
import { Live } from "./live.js";
import { ref } from "./parts.js";
import * as server from "./server.js";
import { story } from "./story.js";

const SOON = 250; // ms from an event to a look at what has changed
const AT_MOST_EVERY = 1000;
const ANYWAY = 30000; // heartbeats are no events
const RECENT = 40; // events of before that are shown at first

const find = (id) => document.getElementById(id);
const fleet = new Fleet();
const live = new Live(onNews, onLine);
let glance = null;
let looked = 0;
let due = null;
let busy = false;
let again = false;
let shown = ""; // the page that is shown, as in the address
let opened = ""; // the story that was opened last
let told = ""; // the story as it is shown

// letting in

async function begin() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (key) {
    history.replaceState(null, "", `${location.pathname}${location.search}#/`);
    return letIn(key);
  }
  await enter();
}

async function letIn(key) {
  try {
    await server.open(key);
  } catch (error) {
    return shut(error.message);
  }
  await enter();
}

async function enter() {
  try {
    glance = await server.glance();
  } catch (error) {
    if (error instanceof server.NotLetIn) return shut(looked ? error.message : "");
    live.lostAt ??= Date.now();
    onLine(live.lostAt, true);
    setTimeout(enter, 3000);
    return;
  }
  find("door").hidden = true;
  looked = Date.now();
  live.begin(Math.max(0, glance.seq - RECENT));
  await route();
}

function shut(why) {
  live.end();
  glance = null;
  for (const id of ["fleet", "story", "line", "leave"]) find(id).hidden = true;
  find("scope").textContent = "";
  find("door").hidden = false;
  find("door-why").textContent = why;
  document.title = "Open the board";
  find("door-key").focus();
}

find("door-form").addEventListener("submit", (submit) => {
  submit.preventDefault();
  const pasted = find("door-key").value.trim();
  find("door-key").value = "";
  const at = pasted.indexOf("#key=");
  if (pasted) letIn(at < 0 ? pasted : pasted.slice(at + 5));
});

find("leave").addEventListener("click", async () => {
  await server.leave().catch(() => {});
  shut("You have signed out.");
});

// which page

async function route() {
  if (!glance) return;
  const before = shown;
  shown = location.hash.startsWith("#/task/") ? location.hash : "#/";
  const isStory = shown !== "#/";
  if (isStory) opened = shown;
  await look();
  if (!glance) return;
  find("fleet").hidden = isStory;
  find("story").hidden = !isStory;
  if (before && before !== shown) settle(isStory);
}

// Where the focus goes after a change of pages: to the story's title, and back to where it was.
function settle(isStory) {
  window.scrollTo(0, 0);
  if (isStory) return find("story-title").focus();
  const link = [...find("fleet").querySelectorAll("a")].find((one) => one.getAttribute("href") === opened);
  (link ?? find("main")).focus();
}

window.addEventListener("hashchange", () => (location.hash.startsWith("#key=") ? begin() : route()));

// keeping it true

// One look at a time: what happens meanwhile is looked at afterwards.
async function look(then) {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  clearTimeout(due);
  due = null;
  try {
    do {
      again = false;
      looked = Date.now();
      await (shown.startsWith("#/task/") ? lookAtStory() : lookAtFleet());
    } while (again);
    then?.();
  } catch (error) {
    onTrouble(error);
  } finally {
    busy = false;
  }
}

async function lookAtFleet() {
  const [its, page] = await Promise.all([server.glance(), fleet.page()]);
  glance = its;
  if (its.seq < live.seq) soon(); // it was gathered before the last event
  fleet.show(its);
  fleet.showTasks(page);
  fleet.showNews();
  document.title = its.needing ? `(${its.needing}) Fleet` : "Fleet";
}

async function lookAtStory() {
  const asked = shown;
  let its;
  try {
    its = await server.story(decodeURIComponent(asked.slice("#/task/".length)));
  } catch (error) {
    if (error instanceof server.NotLetIn || error instanceof server.Away) throw error;
    find("story-title").textContent = error.message;
    find("story-body").replaceChildren();
    told = "";
    return;
  }
  const state = JSON.stringify(its);
  if (shown !== asked || state === told) return tick(find("story"));
  told = state;
  document.title = `${ref(its.task)} · Fleet`;
  find("story-title").dir = "auto";
  find("story-title").textContent = its.task.title || ref(its.task);
  replaceStory(story(its, glance.forge));
}

// What was unfolded stays so, and the focus where it was.
function replaceStory(parts) {
  const body = find("story-body");
  const open = [...body.querySelectorAll("details")].map((one) => one.open);
  const focusable = "a, summary";
  const at = [...body.querySelectorAll(focusable)].indexOf(document.activeElement);
  body.replaceChildren(...parts);
  body.querySelectorAll("details").forEach((one, place) => (one.open = Boolean(open[place])));
  if (at >= 0) body.querySelectorAll(focusable)[at]?.focus({ preventScroll: true });
}

function onTrouble(error) {
  if (error instanceof server.NotLetIn) return shut(error.message);
  if (error instanceof server.Away) return live.lost();
  throw error;
}

function soon() {
  if (due !== null || document.hidden) return;
  const wait = Math.max(SOON, looked + AT_MOST_EVERY - Date.now());
  due = setTimeout(() => look(), wait);
}

function onNews(event) {
  fleet.hear(event);
  fleet.showNews();
  if (!glance || event.seq > glance.seq) soon();
}

function onLine(lostAt, changed) {
  const line = find("line");
  line.hidden = false;
  line.classList.toggle("lost", lostAt !== null);
  const words = lostAt === null ? "Live" : `No connection since ${clock(lostAt)}; trying again`;
  if (find("line-text").textContent === words) return;
  find("line-text").textContent = words;
  if (changed) find("says").textContent = lostAt === null ? "The board is live again." : words;
  if (changed && lostAt === null) look();
}

fleet.onWish = (then) => look(then);
window.addEventListener("online", () => live.hurry());
window.addEventListener("offline", () => live.lost());
document.addEventListener("visibilitychange", () => {
  if (document.hidden || !glance) return;
  live.hurry();
  soon();
});
setInterval(() => tick(), 5000);
setInterval(() => glance && !document.hidden && live.lostAt === null && look(), ANYWAY);

begin();
