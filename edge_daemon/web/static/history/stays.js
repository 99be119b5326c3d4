// Arrivals and stays by hour.

import { byId } from "../dom.js";
import { bars, Chart, cssColor, known, steps } from "./chart.js";
import { dateName, isShown } from "./figures.js";
import { fillStays } from "./table.js";

export class StaysPanel {
  constructor() {
    this.chart = new Chart(byId("stays"), { height: 200 });
  }

  show(date, hours, now) {
    const arrivals = hours.map((hour) => (isShown(hour) ? hour.arrivals : 0));
    const all = arrivals.reduce((sum, each) => sum + each, 0);
    const isEmpty = !hours.some(isShown);
    byId("stays-panel").hidden = isEmpty;
    if (isEmpty) return;
    const accent = cssColor("--accent");
    this.chart.show(hours, [
      { label: "Arrived", values: arrivals, color: accent, fill: accent, width: 0, paths: bars(0.7, 1) },
      {
        label: "Mean stay", scale: "right", color: cssColor("--ink"), dash: [6, 4], paths: steps(),
        values: known(hours, (hour) => (hour.mean_stay_s === null ? null : hour.mean_stay_s / 60)),
      },
    ], {
      now,
      name: `Arrivals and mean stay by hour on ${dateName(date)}: ${all} arrived`,
      hasRight: true,
    });
    fillStays(byId("stays-table"), `Arrivals and stays on ${dateName(date)} by hour`, hours);
  }
}
