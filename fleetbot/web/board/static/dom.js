// Elements out of data. Whatever comes from outside becomes text, never markup.

export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") made.className = value;
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

// Text from outside, apart from what stands around it: its direction is its own affair.
export const said = (text, name = "bdi", attributes = {}) => el(name, { dir: "auto", ...attributes }, String(text));

// Text in which `code` stands between back-quotes.
export function prose(text, name = "span", attributes = {}) {
  const parts = String(text).split("`");
  if (parts.length % 2 === 0) return said(text, name, attributes);
  return el(name, { dir: "auto", ...attributes }, parts.map((part, place) => (place % 2 ? el("code", {}, part) : part)));
}

// A link to Forgejo, where the address is on it; else its words alone. The server has looked, too.
export function away(forge, url, ...words) {
  const isOurs = /^https?:\/\//i.test(forge) && typeof url === "string" && url.startsWith(`${forge}/`);
  if (!isOurs) return el("span", {}, ...words);
  return el("a", { href: url, rel: "noopener noreferrer", target: "_blank" }, ...words);
}

// Fills a list by keys: what has not changed stays as it is, and the focus where it was.
export function fill(list, items, key, make) {
  const before = new Map([...list.children].map((child) => [child.dataset.key, child]));
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const place = focused && { key: focused.closest("[data-key]")?.dataset.key, index: focusables(list, focused).index };
  const wanted = items.map((item) => {
    const id = String(key(item));
    const state = JSON.stringify(item);
    const known = before.get(id);
    if (known && known.fleetState === state) return known;
    const made = make(item);
    made.dataset.key = id;
    made.fleetState = state;
    return made;
  });
  const same = wanted.length === list.children.length && wanted.every((child, at) => child === list.children[at]);
  if (!same) list.replaceChildren(...wanted);
  if (place && document.activeElement !== focused) restore(list, focused, place);
}

function focusables(list, focused) {
  const its = focused.closest("[data-key]") ?? list;
  const all = [...its.querySelectorAll("a, button, summary")];
  return { all, index: all.indexOf(focused) };
}

function restore(list, focused, place) {
  if (focused.isConnected) return focused.focus({ preventScroll: true });
  const its = [...list.children].find((child) => child.dataset.key === place.key);
  const all = its ? [...its.querySelectorAll("a, button, summary")] : [];
  (all[place.index] ?? all[0] ?? list.closest("section")?.querySelector("h2"))?.focus({ preventScroll: true });
}

// times

let skew = 0;

// The server's clock counts: that of a phone may be wrong.
export function setClock(serverMs) {
  const off = serverMs - Date.now();
  skew = Math.abs(off) > 2000 ? off : 0;
}

export const now = () => Date.now() + skew;

export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) {
    const minutes = Math.round(seconds / 60);
    const hours = Math.floor(minutes / 60);
    return minutes % 60 && hours < 10 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  }
  return `${Math.round(seconds / 86400)} d`;
}

const WORDS = {
  for: (at) => `for ${span(now() - at)}`,
  far: (at) => `For ${span(now() - at)} so far`,
  ago: (at) => (now() - at < 1000 ? "just now" : `${span(now() - at)} ago`),
  until: (at) => (at <= now() ? "any moment" : `in ${span(at - now())}`),
};

const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const hour = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

export const clock = (at) => hour.format(at);
export const moment = (at) => whole.format(at);

// A moment as a span that is kept true.
export function time(at, how) {
  return el("time", { datetime: new Date(at).toISOString(), title: moment(at), "data-at": at, "data-how": how }, WORDS[how](at));
}

export function tick(root = document) {
  for (const its of root.querySelectorAll("time[data-how]")) {
    const told = WORDS[its.dataset.how](Number(its.dataset.at));
    if (its.textContent !== told) its.textContent = told;
  }
}
