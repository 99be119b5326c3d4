// A chart's numbers as a table, behind a "Show as a table".

import { make } from "../dom.js";
import { clock, coverageText, endClock, exact, isShown, labelsOf, seconds, stay } from "./figures.js";

// Fill a table with `rows` of texts; the first of each row is its name.
export function fillTable(table, caption, heads, rows, totals = null) {
  const head = document.createElement("tr");
  head.append(...heads.map((text) => scoped(text, "col")));
  const line = ([name, ...cells]) => {
    const row = document.createElement("tr");
    row.append(scoped(name, "row"), ...cells.map((text) => make("td", text)));
    return row;
  };
  const parts = [make("caption", caption), document.createElement("thead"), document.createElement("tbody")];
  parts[1].append(head);
  parts[2].append(...rows.map(line));
  if (totals) {
    parts.push(document.createElement("tfoot"));
    parts[3].append(line(totals));
  }
  table.replaceChildren(...parts);
}

function scoped(text, scope) {
  const cell = make("th", text);
  cell.scope = scope;
  return cell;
}

// The columns of periods: faces, their time by label, and what was recorded.
export function fillPeriods(table, caption, periods, total, now) {
  const labels = labelsOf(periods);
  const cells = (period) => (isShown(period)
    ? [String(period.faces), String(period.arrivals), exact(period.face_s),
      ...labels.map((label) => exact(seconds(period, label))), coverageText(period, now)]
    : [...Array(labels.length + 3).fill("–"), period.hidden ? "too few faces" : coverageText(period, now)]);
  fillTable(
    table, caption,
    ["Time", "Faces", "Arrived", "Time of faces", ...labels, "Recording"],
    periods.map((period) => [`${clock(period)}–${endClock(period)}`, ...cells(period)]),
    total && ["All", ...cells(total)],
  );
}

export function fillStays(table, caption, periods) {
  fillTable(
    table, caption, ["Time", "Arrived", "Left", "Mean stay", "Longest stay"],
    periods.map((period) => [`${clock(period)}–${endClock(period)}`, ...(isShown(period)
      ? [String(period.arrivals), String(period.departures), stay(period.mean_stay_s), stay(period.longest_stay_s)]
      : Array(4).fill("–"))]),
  );
}
