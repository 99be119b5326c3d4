// Two days: faces by hour, and the totals side by side.

import { byId, percent } from "../dom.js";
import { Chart, cssColor, known, steps } from "./chart.js";
import { clock, dateName, exact, labelsOf, seconds, stay } from "./figures.js";
import { fillTable } from "./table.js";

const count = (faces) => (faces === null ? "too few to be shown" : String(faces));
const NOTHING = { recorded_s: 0 }; // an hour that the other day does not have

// For each of `hours` the one of another day at the same time by the clock, which may be changed
// on one of them: an hour that comes twice has a partner once, and one is left out.
export function aligned(hours, others) {
  const left = [...others];
  return hours.map((hour) => {
    const place = left.findIndex((other) => clock(other) === clock(hour));
    return place < 0 ? NOTHING : left.splice(place, 1)[0];
  });
}

export class ComparisonPanel {
  constructor() {
    this.chart = new Chart(byId("comparison"), { height: 200 });
  }

  show([date, hours, total], [otherDate, otherHours, otherTotal], now) {
    const days = [total, otherTotal];
    const isKnown = days.every((day) => day?.recorded_s);
    byId("comparison-charts").hidden = !isKnown;
    byId("comparison-empty").hidden = isKnown;
    if (!isKnown) return;
    const faces = (each) => known(aligned(hours, each), (hour) => hour.faces);
    this.chart.show(hours, [
      { label: date, values: faces(hours), color: cssColor("--accent"), width: 3, paths: steps() },
      {
        label: otherDate, values: faces(otherHours), color: cssColor("--ink"), width: 2, dash: [6, 4],
        paths: steps(),
      },
    ], {
      now,
      name: `Faces by hour: ${count(total.faces)} on ${dateName(date)}, ${count(otherTotal.faces)} on ${dateName(otherDate)}`,
    });
    byId("comparison-this").textContent = dateName(date);
    byId("comparison-missing").textContent = `not recorded on ${dateName(date)}`;
    byId("comparison-that").textContent = dateName(otherDate);
    fillTotals(days, [date, otherDate]);
  }
}

function fillTotals(days, dates) {
  const share = (label) => (day) => (day.hidden ? "–" : percent(seconds(day, label) / (day.face_s || 1)));
  const rows = [
    ["Recorded", (day) => exact(day.recorded_s)],
    ["Faces", (day) => count(day.faces)],
    ["Arrived", (day) => (day.hidden ? "–" : String(day.arrivals))],
    ["Time of faces", (day) => (day.hidden ? "–" : exact(day.face_s))],
    ["Mean stay", (day) => stay(day.mean_stay_s)],
    ["Longest stay", (day) => stay(day.longest_stay_s)],
    ...labelsOf(days).map((label) => [label, share(label)]),
  ];
  fillTable(
    byId("comparison-table"), "Totals of both days; expressions as shares of the time of faces",
    ["Total", ...dates], rows.map(([name, cell]) => [name, ...days.map(cell)]),
  );
}
