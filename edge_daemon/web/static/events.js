// The list of events, newest first, with filters.

import { duration, make, percent } from "./dom.js";

const KEPT = 500;
const SHOWN = 100;

export class EventList {
  constructor(list, kind, label) {
    [this.list, this.kind, this.label] = [list, kind, label];
    this.events = [];
    this.drawing = 0;
    for (const select of [kind, label]) select.addEventListener("change", () => this.drawSoon());
  }

  offerLabels(labels) {
    this.label.replaceChildren(this.label.firstElementChild, ...labels.map((label) => make("option", label)));
  }

  add(event) {
    this.events.unshift(event);
    this.events.length = Math.min(this.events.length, KEPT);
    this.drawSoon();
  }

  // Many events may arrive at once: draw once for all of them.
  drawSoon() {
    clearTimeout(this.drawing);
    this.drawing = setTimeout(() => this.draw(), 50);
  }

  draw() {
    const kinds = this.kind.value.split(" ");
    const label = this.label.value;
    const wanted = this.events.filter((event) => kinds.some((kind) => event.type.startsWith(kind))
      && (!label || event.label === label || event.previous === label));
    this.list.replaceChildren(...wanted.slice(0, SHOWN).map(line));
    const empty = document.getElementById("no-events");
    empty.hidden = wanted.length > 0;
    empty.textContent = this.events.length ? "No such event in the last ten minutes." : "No event yet.";
  }
}

function line(event) {
  const item = document.createElement("li");
  const time = make("time", new Date(event.time).toLocaleTimeString());
  time.dateTime = event.time;
  const dot = make("span", "", "dot");
  dot.dataset.label = event.label ?? "";
  item.append(time, dot, make("span", sentence(event)));
  return item;
}

function sentence(event) {
  const face = `Face ${event.face}`;
  const after = Number.isFinite(event.duration_s) ? ` after ${duration(event.duration_s)}` : "";
  const score = Number.isFinite(event.score) ? ` (${percent(event.score)})` : "";
  switch (event.type) {
    case "face_start": return `${face} came into view`;
    case "face_update": return `${face} is still in view${event.label ? `: ${event.label}${score}` : ""}`;
    case "face_end": return `${face} left${after}`;
    case "expression_start": return `${face}: ${event.label}${score}`;
    case "expression_change": return `${face}: ${event.previous} → ${event.label}${score}`;
    case "expression_end": return `${face}: ${event.label} ended${after}`;
    case "camera_lost": return `The camera was lost${event.reason ? `: ${event.reason}` : ""}`;
    case "camera_restored": return `The camera is back${after}`;
    case "pause_start": return "Paused";
    case "pause_end": return `Continued${after}`;
    case "clock_jump": return `The clock jumped ${event.jump_s < 0 ? "back" : "forward"} by ${duration(Math.abs(event.jump_s))}`;
    case "daemon_start": return "The daemon started";
    case "daemon_alive": return "Nothing has happened for a day";
    case "daemon_stop": return "The daemon stopped";
    default: return event.type;
  }
}
