// The history: a day, its comparison and the week, from a source of periods.
//
// A source has `cameras` (names), `isLive`, and these, with dates as "2026-03-25":
//   latest(camera)                  the date that is shown first
//   periods(camera, from, to, by)   the periods from a date to before another, by "quarter", "hour" or "day"
//   table(from, to)                 the address of a CSV file, or ""

import { byId, make } from "../dom.js";
import { ComparisonPanel } from "./comparison.js";
import { DayPanel } from "./day.js";
import { shifted } from "./figures.js";
import { StaysPanel } from "./stays.js";
import { showWeek } from "./week.js";

const RENEW_MS = 60000;
const DATE = /^\d{4}-\d\d-\d\d$/;

export class HistoryPage {
  constructor(source) {
    this.source = source;
    this.panels = { day: new DayPanel(), stays: new StaysPanel(), comparison: new ComparisonPanel() };
    this.number = 0; // of the newest request: answers to earlier ones are dropped
    byId("camera").replaceChildren(...source.cameras.map((name) => make("option", name)));
    byId("camera-choice").hidden = source.cameras.length < 2;
    this.listen();
  }

  async start() {
    const [day, other] = location.hash.slice(1).split(",").filter((each) => DATE.test(each));
    this.newest = await this.source.latest(this.camera);
    this.day = day ?? this.newest;
    this.other = other ?? shifted(this.day, -7);
    await this.show();
  }

  get camera() {
    return byId("camera").value;
  }

  listen() {
    const on = (id, kind, act) => byId(id).addEventListener(kind, act);
    on("camera", "change", () => this.start());
    on("before", "click", () => this.go(shifted(this.day, -1)));
    on("after", "click", () => this.go(shifted(this.day, 1)));
    on("newest", "click", async () => this.go(await this.source.latest(this.camera)));
    on("date", "change", (change) => change.target.value && this.go(change.target.value));
    on("other-date", "change", (change) => change.target.value && this.go(this.day, change.target.value));
    on("day-before", "click", () => this.go(this.day, shifted(this.day, -1)));
    on("week-before", "click", () => this.go(this.day, shifted(this.day, -7)));
    on("weeks", "change", () => this.show());
    if (this.source.isLive) setInterval(() => this.renew(), RENEW_MS);
  }

  // The other day moves along with the day, unless it is given.
  go(day, other = null) {
    const apart = (Date.parse(this.other) - Date.parse(this.day)) / 86400000;
    this.day = day;
    this.other = other ?? shifted(day, apart);
    history.replaceState(null, "", `#${this.day},${this.other}`);
    this.show();
  }

  renew() {
    if (!document.hidden && this.day >= this.newest) this.show();
  }

  async show() {
    this.number += 1;
    const [number, { day, other, source, camera }] = [this.number, this];
    byId("date").value = day;
    byId("other-date").value = other;
    const weeks = Number(byId("weeks").value);
    const one = (date, by) => source.periods(camera, date, shifted(date, 1), by);
    let found;
    try {
      found = await Promise.all([
        one(day, "quarter"), one(day, "hour"), one(day, "day"), one(other, "hour"), one(other, "day"),
        source.periods(camera, shifted(day, 1 - 7 * weeks), shifted(day, 1), "hour"),
      ]);
    } catch (error) {
      if (number === this.number) this.fail(error);
      return;
    }
    if (number !== this.number) return;
    this.fail(null);
    const [quarters, hours, [total], otherHours, [otherTotal], weekHours] = found;
    const now = source.isLive ? Date.now() + source.ahead_ms : Infinity;
    this.panels.day.show(day, quarters, total, now);
    this.panels.stays.show(day, hours, now);
    this.panels.comparison.show([day, hours, total], [other, otherHours, otherTotal], now);
    showWeek(weekHours);
    const address = source.table(day, shifted(day, 1));
    byId("csv").hidden = address === "";
    byId("csv").href = address;
    document.body.dataset.shown = day;
  }

  fail(error) {
    byId("banner").hidden = error === null;
    byId("banner").textContent = error ? error.message : "";
  }
}
