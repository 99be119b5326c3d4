// The history of the daemon that serves this page.

import { byId, make } from "../dom.js";
import { HistoryPage } from "./page.js";

const TIMEOUT_MS = 20000;

class DaemonSource {
  constructor() {
    this.cameras = ["this camera"];
    this.isLive = true;
    this.ahead_ms = 0; // how far the daemon's clock is ahead of the browser's
  }

  async latest() {
    const now = (await this.ask("by=quarter")).at(-1);
    return now.start.slice(0, 10);
  }

  periods(_, from, to, by) {
    return this.ask(`by=${by}&from=${from}&to=${to}`);
  }

  table(from, to) {
    return `history?by=quarter&from=${from}&to=${to}&format=csv`;
  }

  async ask(query) {
    let answer;
    try {
      answer = await fetch(`history?${query}`, {
        headers: { Accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch {
      throw new Error("The daemon does not answer. What is shown is from before.");
    }
    if (answer.status === 401 || answer.status === 429) {
      location.reload(); // shows the sign-in form
      throw new Error("You are signed out.");
    }
    if (!answer.ok) throw new Error((await answer.json()).detail ?? `/history answered ${answer.status}.`);
    const date = Date.parse(answer.headers.get("Date"));
    if (date) this.ahead_ms = date - Date.now();
    return (await answer.json()).periods;
  }
}

async function start() {
  try {
    await new HistoryPage(new DaemonSource()).start();
  } catch (error) {
    byId("banner").replaceChildren(make("span", error.message));
    byId("banner").hidden = false;
  }
}

start();
