// The history in a report: its periods are in the page.

import { byId } from "../dom.js";
import { HistoryPage } from "./page.js";

const MINUTE_MS = 60000;
const HIDDEN = {
  faces: null, arrivals: null, face_s: null, departures: null, stay_s: null, mean_stay_s: null,
  longest_stay_s: null, expressions: null,
};

class ReportSource {
  constructor({ labels, cameras }) {
    this.labels = labels;
    this.steps = new Map(cameras.map(({ name, steps }) => [name, steps]));
    this.cameras = [...this.steps.keys()];
    this.isLive = false;
  }

  async latest(camera) {
    return Object.keys(this.steps.get(camera).day).sort().at(-1);
  }

  // Reports on many days have no quarters.
  async periods(camera, from, to, by) {
    const steps = this.steps.get(camera);
    const days = steps[by] ?? steps.hour;
    const dates = Object.keys(days).filter((date) => from <= date && date < to).sort();
    return dates.flatMap((date) => days[date].map((row) => this.period(row)));
  }

  table() {
    return "";
  }

  // Rows are as page.py writes them.
  period([start, offset, length, recorded = 0, carried = 0, arrivals = 0, faces = 0, left = 0, stays = 0, longest = 0, ...sums]) {
    const period = { start: local(start, offset), end: local(start + length, offset), recorded_s: recorded / 1000 };
    if (carried < 0) return { ...period, hidden: true, ...HIDDEN };
    const expressions = {};
    for (let at = 0; at < sums.length; at += 2) expressions[this.labels[sums[at]]] = sums[at + 1] / 1000;
    return {
      ...period,
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

function local(minute, offset) {
  const text = new Date((minute + offset) * MINUTE_MS).toISOString().slice(0, 19);
  const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60];
  const pair = [hours, minutes].map((each) => String(each).padStart(2, "0")).join(":");
  return `${text}${offset < 0 ? "-" : "+"}${pair}`;
}

new HistoryPage(new ReportSource(JSON.parse(byId("data").textContent))).start();
