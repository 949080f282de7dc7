// What is asked of the orchestrator: all of it stands beside this page, wherever that is.

import { setClock } from "./dom.js";

const API = new URL("../api/v1/board", import.meta.url);
const PATIENCE = 15000;

export class NotLetIn extends Error {}
export class Away extends Error {}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(`${API}${path}`, {
      credentials: "same-origin",
      redirect: "error",
      signal: AbortSignal.timeout(PATIENCE),
      ...options,
    });
  } catch {
    throw new Away("It does not answer.");
  }
  const date = Date.parse(response.headers.get("Date") ?? "");
  if (date) setClock(date + 500);
  if (response.ok) return response.status === 204 ? null : response.json();
  const problem = await response.json().catch(() => ({}));
  const words = problem.detail ?? `It answers ${response.status}.`;
  if (response.status === 401) throw new NotLetIn(words);
  if (response.status === 404 || response.status === 422) throw new Error(words);
  throw new Away(words);
}

export const glance = () => ask("");
export const story = (task) => ask(`/tasks/${encodeURIComponent(task)}`);

export function tasks(query) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined);
  return ask(`/tasks?${new URLSearchParams(given)}`);
}

export const open = (key) =>
  ask("/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ key, framed: window.top !== window }),
  });

export const leave = () => ask("/session", { method: "DELETE" });

export const events = (after) => new EventSource(`${API}/events?after=${after}`);
