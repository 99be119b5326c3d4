// The week by hours: a table whose cells are colored by the faces in a recorded hour.

import { byId, make } from "../dom.js";
import { isShown } from "./figures.js";

const DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const LEAST_S = 60; // an hour of which less is recorded tells nothing

export function showWeek(hours) {
  const cells = DAYS.map(() => Array.from({ length: 24 }, () => ({ faces: 0, recorded_s: 0 })));
  for (const hour of hours) {
    if (!isShown(hour)) continue;
    const day = (new Date(`${hour.start.slice(0, 10)}T00:00:00Z`).getUTCDay() + 6) % 7;
    const cell = cells[day][Number(hour.start.slice(11, 13))];
    cell.faces += hour.faces;
    cell.recorded_s += hour.recorded_s;
  }
  const rate = ({ faces, recorded_s }) => (recorded_s < LEAST_S ? null : faces / (recorded_s / 3600));
  const most = Math.max(...cells.flat().map((cell) => rate(cell) ?? 0));
  byId("week").replaceChildren(
    make("caption", "Faces in a recorded hour, by weekday and hour; – where nothing was recorded"),
    headRow(),
    bodyRows(cells.map((row) => row.map(rate)), most),
  );
  byId("week-most").textContent = most ? number(most) : "0";
}

function headRow() {
  const [head, row] = [document.createElement("thead"), document.createElement("tr")];
  row.append(make("td", ""));
  for (let hour = 0; hour < 24; hour += 1) {
    const cell = make("th", "");
    cell.append(make("span", String(hour).padStart(2, "0")));
    cell.scope = "col";
    row.append(cell);
  }
  head.append(row);
  return head;
}

function bodyRows(rows, most) {
  const body = document.createElement("tbody");
  for (const [index, rates] of rows.entries()) {
    const [row, name] = [document.createElement("tr"), make("th", "")];
    name.scope = "row";
    name.append(DAYS[index].slice(0, 2), make("span", DAYS[index].slice(2), "rest"));
    row.append(name, ...rates.map((rate, hour) => cellOf(rate, most, `${DAYS[index]} ${hour}:00`)));
    body.append(row);
  }
  return body;
}

function cellOf(rate, most, when) {
  const cell = document.createElement("td");
  cell.append(make("span", rate === null ? "–" : number(rate)));
  cell.title = `${when}: ${rate === null ? "not recorded" : `${number(rate)} faces an hour`}`;
  if (rate === null) cell.className = "missing";
  else cell.style.setProperty("--level", `${most ? Math.round((rate / most) * 100) : 0}%`);
  return cell;
}

const number = (rate) => (rate >= 10 || rate === 0 ? String(Math.round(rate)) : rate.toFixed(1));
