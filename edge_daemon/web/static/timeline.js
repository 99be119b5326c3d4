// The last minutes: a lane per face, colored by its expression.

import { duration, makeSvg, percent } from "./dom.js";

const LANES = 8; // at most; the faces seen last
const HEIGHT = 22;
const SIDE = 64; // px for the lanes' names
const NARROW = 480; // px; fewer ticks below

export class Timeline {
  constructor(place, past_ms) {
    this.place = place;
    this.past_ms = past_ms;
    this.spans = new Map(); // face → [{label, from, to}]; `to` is null while it lasts
  }

  add(event) {
    const at = Date.parse(event.time);
    if (event.type === "daemon_start") return this.endAll(at);
    if (event.type === "clock_jump") return this.shift(event.jump_s * 1000);
    if (!event.type.startsWith("expression_")) return undefined;
    const key = `${event.run}/${event.face}`;
    if (!this.spans.has(key)) this.spans.set(key, []);
    const spans = this.spans.get(key);
    const last = spans.at(-1);
    if (last && last.to === null) last.to = at;
    else if (event.type !== "expression_start") {
      spans.push({ label: event.previous ?? event.label, from: at - event.duration_s * 1000, to: at });
    }
    if (event.type !== "expression_end") spans.push({ label: event.label, from: at, to: null });
    return undefined;
  }

  // A daemon that was killed has not logged any ends.
  endAll(at) {
    for (const spans of this.spans.values()) {
      if (spans.at(-1).to === null) spans.at(-1).to = at;
    }
  }

  // What came before a jump of the clock remains as long ago as it is.
  shift(ms) {
    for (const span of [...this.spans.values()].flat()) {
      span.from += ms;
      if (span.to !== null) span.to += ms;
    }
  }

  // Draw the lanes up to `now` (ms); returns how many there are.
  draw(now) {
    const start = now - this.past_ms;
    const ends = new Map();
    for (const [key, spans] of this.spans) {
      while (spans.length && spans[0].to !== null && spans[0].to < start) spans.shift();
      if (spans.length) ends.set(key, spans.at(-1).to ?? now);
      else this.spans.delete(key);
    }
    const lanes = [...ends.keys()].sort((a, b) => ends.get(b) - ends.get(a)).slice(0, LANES);
    const width = Math.max(this.place.clientWidth, 240);
    const svg = makeSvg("svg", {
      viewBox: `0 0 ${width} ${lanes.length * HEIGHT + 20}`,
      role: "img",
      "aria-label": lanes.map((key) => this.summary(key, start, now)).join(". "),
    });
    lanes.forEach((key, row) => svg.append(...this.lane(key, row, { start, now, width })));
    svg.append(...ticks(lanes.length * HEIGHT + 15, width, this.past_ms));
    this.place.replaceChildren(...(lanes.length ? [svg] : []));
    return lanes.length;
  }

  lane(key, row, { start, now, width }) {
    const y = row * HEIGHT;
    const x = (at) => SIDE + ((Math.max(at, start) - start) / this.past_ms) * (width - SIDE);
    const parts = [
      makeSvg("text", { x: 0, y: y + 15, class: "lane-name" }, `Face ${key.split("/")[1]}`),
      makeSvg("rect", { x: SIDE, y: y + 2, width: width - SIDE, height: HEIGHT - 6, rx: 4, class: "lane" }),
    ];
    for (const span of this.spans.get(key)) {
      const [from, to] = [x(span.from), x(span.to ?? now)];
      const rect = makeSvg("rect", {
        x: from, y: y + 2, width: Math.max(to - from, 1.5), height: HEIGHT - 6, rx: 2,
        class: "span", "data-label": span.label,
      });
      rect.append(makeSvg("title", {}, `${span.label}, ${duration(((span.to ?? now) - span.from) / 1000)}`));
      parts.push(rect);
    }
    return parts;
  }

  summary(key, start, now) {
    const totals = new Map();
    for (const { label, from, to } of this.spans.get(key)) {
      totals.set(label, (totals.get(label) ?? 0) + (to ?? now) - Math.max(from, start));
    }
    const all = [...totals.values()].reduce((sum, value) => sum + value, 0);
    const shares = [...totals].map(([label, value]) => `${label} ${percent(value / all)}`);
    return `Face ${key.split("/")[1]}: ${shares.join(", ")}`;
  }
}

function ticks(y, width, past_ms) {
  const count = width < NARROW ? 2 : 5;
  return Array.from({ length: count + 1 }, (_, index) => {
    const minutes = Math.round((past_ms / 60000) * (1 - index / count));
    const x = SIDE + (index / count) * (width - SIDE);
    const anchor = index === 0 ? "start" : index === count ? "end" : "middle";
    return makeSvg("text", { x, y, "text-anchor": anchor, class: "tick" }, minutes ? `−${minutes} min` : "now");
  });
}
