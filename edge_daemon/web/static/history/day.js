// One day: faces above, and below how long they showed each expression.

import { byId, make, percent, setText } from "../dom.js";
import { area, bars, Chart, cssColor, labelColor, } from "./chart.js";
import {
  clock, dateName, exact, isShown, labelsOf, lasts, missing, OTHER, seconds, stay, told,
} from "./figures.js";
import { fillPeriods } from "./table.js";

export class DayPanel {
  constructor() {
    this.slider = byId("time");
    this.charts = ["day-faces", "day-expressions"].map((id, index) => new Chart(byId(id), {
      height: index ? 230 : 110,
      onCursor: (at) => this.read(at),
    }));
    this.slider.addEventListener("input", () => this.read(Number(this.slider.value)));
  }

  show(date, periods, total, now) {
    this.periods = periods;
    this.now = now;
    const isEmpty = !total?.recorded_s;
    byId("day-charts").hidden = isEmpty;
    byId("day-empty").hidden = !isEmpty;
    setText(byId("day-name"), dateName(date));
    showSummary(total, now);
    if (isEmpty) return;
    this.drawCharts(date, periods, total, now);
    this.slider.max = periods.length - 1;
    if (this.date !== date) this.slider.value = periods.indexOf(busiest(periods));
    this.date = date;
    this.read(Math.min(Number(this.slider.value), periods.length - 1));
    const caption = `${dateName(date)}, every ${Math.round(lasts(periods[0]) / 60)} minutes; times as hours:minutes:seconds`;
    fillPeriods(byId("day-table"), caption, periods, total, now);
  }

  drawCharts(date, periods, total, now) {
    const labels = labelsOf(periods);
    const faces = periods.map((period) => (isShown(period) ? period.faces : 0));
    const name = `Faces on ${dateName(date)}: ${total.faces ?? "too few to be shown"} in all, most from ${clock(busiest(periods))}`;
    this.charts[0].show(periods, [{
      label: "Faces", values: faces, color: cssColor("--accent"), fill: cssColor("--accent"),
      width: 0, paths: bars(0.8, 1),
    }], { now, name });
    const sums = periods.map(() => 0);
    const series = labels.map((label) => {
      periods.forEach((period, index) => { sums[index] += seconds(period, label) / 60; });
      const color = labelColor(label);
      return { label, values: [...sums], color, fill: color, width: 0, paths: area() };
    });
    const shares = labels.map((label) => `${label} ${percent(seconds(total, label) / (total.face_s || 1))}`);
    this.charts[1].show(periods, series, {
      now,
      name: `Expressions on ${dateName(date)}: ${shares.join(", ") || "none"}`,
      bands: labels.slice(1).map((_, index) => ({ series: [index + 2, index + 1] })),
    });
    showLegend(labels, periods, now);
  }

  // Show the period `at` in words, on both charts and on the slider.
  read(at) {
    const period = this.periods[at];
    if (!period) return;
    this.slider.value = at;
    const sentence = told(period, this.now);
    this.slider.setAttribute("aria-valuetext", sentence);
    setText(byId("readout"), sentence);
    for (const chart of this.charts) chart.point(at);
  }
}

function busiest(periods) {
  return periods.reduce((most, period) => ((period.faces ?? 0) > (most.faces ?? 0) ? period : most));
}

function showLegend(labels, periods, now) {
  const marks = labels.map((label) => [label, "dot", label]);
  if (periods.some((period) => missing(period, now))) marks.push(["not recorded", "swatch", "missing"]);
  if (periods.some((period) => period.hidden)) marks.push(["too few faces to be shown", "swatch", "hidden"]);
  byId("day-legend").replaceChildren(...marks.map(([text, kind, value]) => {
    const [item, mark] = [document.createElement("li"), make("span", "", kind)];
    mark.dataset[kind === "dot" ? "label" : "kind"] = value;
    item.append(mark, text);
    return item;
  }));
}

function showSummary(total, now) {
  const passed = total && (Math.min(Date.parse(total.end), now) - Date.parse(total.start)) / 1000;
  const labels = total && isShown(total) ? labelsOf([total]).filter((label) => label !== OTHER) : [];
  const most = labels.reduce((best, label) => (
    best && seconds(total, best) >= seconds(total, label) ? best : label), "");
  const facts = total?.recorded_s ? [
    ["Faces", total.hidden ? "too few to be shown" : String(total.faces)],
    ["Time of faces", total.hidden ? "–" : exact(total.face_s)],
    ["Mean stay", stay(total.mean_stay_s)],
    ["Longest stay", stay(total.longest_stay_s)],
    ["Most often", most ? `${most}, ${percent(seconds(total, most) / total.face_s)}` : "–"],
    ["Recorded", `${exact(total.recorded_s)} of ${exact(passed)}`],
  ] : [];
  byId("day-facts").replaceChildren(...facts.map(([term, value]) => {
    const entry = document.createElement("div");
    entry.append(make("dt", term), make("dd", value));
    return entry;
  }));
}
