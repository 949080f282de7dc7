// The stream of events: says when it is lost and since when, comes back by itself, misses nothing.

import { events } from "./server.js";

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 30000;

export class Live {
  // `onNews` hears of each event once; `onLine` of the line: null while it is up, or since when not.
  constructor(onNews, onLine) {
    this.onNews = onNews;
    this.onLine = onLine;
    this.seq = 0;
    this.lostAt = null;
    this.wait = FIRST_WAIT;
  }

  begin(after) {
    this.seq = after;
    this.connect();
  }

  connect() {
    this.end();
    const source = (this.source = events(this.seq));
    source.onopen = () => this.up();
    source.onerror = () => this.lost();
    source.addEventListener("news", (message) => this.hear(message));
  }

  hear(message) {
    const event = JSON.parse(message.data);
    this.seq = event.seq;
    this.onNews(event);
  }

  up() {
    this.wait = FIRST_WAIT;
    const wasLost = this.lostAt !== null;
    this.lostAt = null;
    this.onLine(null, wasLost);
  }

  // The browser would try again by itself, but not after an answer that is none, as of a proxy.
  lost() {
    this.end();
    this.lostAt ??= Date.now();
    this.onLine(this.lostAt, true);
    this.timer = setTimeout(() => this.connect(), this.wait);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
  }

  // Do not wait any longer: the network is back, or somebody looks.
  hurry() {
    if (this.lostAt === null) return;
    this.wait = FIRST_WAIT;
    this.connect();
  }

  end() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }
}
