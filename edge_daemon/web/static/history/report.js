// The history in a report: its periods are in the page.

import { byId } from "../dom.js";
import { added } from "./figures.js";
import { HistoryPage } from "./page.js";

const MINUTE_MS = 60000;

class ReportSource {
  constructor({ labels, cameras }) {
    this.labels = labels;
    this.days = new Map(cameras.map(({ name, days }) => [name, days]));
    this.cameras = [...this.days.keys()];
    this.isLive = false;
  }

  async latest(camera) {
    return Object.keys(this.days.get(camera)).sort().at(-1);
  }

  async periods(camera, from, to, by) {
    const days = this.days.get(camera);
    const dates = Object.keys(days).filter((date) => from <= date && date < to).sort();
    return dates.flatMap((date) => {
      const rows = days[date].map((row) => this.period(row));
      return by === "quarter" ? rows : grouped(rows, by === "hour" ? hourOf : () => date);
    });
  }

  table() {
    return "";
  }

  // Rows are as page.py writes them.
  period([start, offset, length, recorded = 0, carried = 0, arrivals = 0, faces = 0, left = 0, stays = 0, longest = 0, ...sums]) {
    const expressions = {};
    for (let at = 0; at < sums.length; at += 2) expressions[this.labels[sums[at]]] = sums[at + 1] / 1000;
    return {
      start: local(start, offset),
      end: local(start + length, offset),
      recorded_s: recorded / 1000,
      hidden: false,
      faces: carried + arrivals,
      arrivals,
      face_s: faces / 1000,
      departures: left,
      stay_s: stays / 1000,
      mean_stay_s: left ? stays / left / 1000 : null,
      longest_stay_s: left ? longest / 1000 : null,
      expressions,
    };
  }
}

// The hour of a local time, with its distance from UTC: an hour may come twice.
const hourOf = ({ start }) => start.slice(0, 13) + start.slice(19);

function grouped(periods, keyOf) {
  const groups = new Map();
  for (const period of periods) {
    const key = keyOf(period);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(period);
  }
  return [...groups.values()].map(added);
}

function local(minute, offset) {
  const text = new Date((minute + offset) * MINUTE_MS).toISOString().slice(0, 19);
  const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60];
  const pair = [hours, minutes].map((each) => String(each).padStart(2, "0")).join(":");
  return `${text}${offset < 0 ? "-" : "+"}${pair}`;
}

new HistoryPage(new ReportSource(JSON.parse(byId("data").textContent))).start();
