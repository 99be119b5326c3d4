// Charts of a day: one place for each period, drawn by uPlot.
// Times that were not recorded are hatched, from the top by the share that is missing.

import { clock, isShown, lasts, missing } from "./figures.js";

const NARROW = 520; // px; fewer times on the axis below
const FONT = "12px system-ui, sans-serif";
const LEAST_SHARE = 0.02; // of a period that is recorded in part
const SIDE = 46; // px for the values beside the chart
const STEPS = [1, 2, 5].flatMap((step) => [1, 10, 100, 1000, 10000].map((unit) => step * unit)).sort((a, b) => a - b);
const SMALL_STEPS = [0.1, 0.2, 0.5, ...STEPS];

export const cssColor = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function labelColor(label) {
  const probe = document.createElement("span");
  probe.dataset.label = label;
  document.body.append(probe);
  const color = getComputedStyle(probe).getPropertyValue("--color").trim();
  probe.remove();
  return color;
}

// Lines at an angle; "hidden" periods get dots, which say that something is there.
function pattern(context, isHidden) {
  const ratio = devicePixelRatio;
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8 * ratio;
  const pen = tile.getContext("2d");
  pen.scale(ratio, ratio);
  pen.strokeStyle = pen.fillStyle = cssColor("--soft");
  pen.globalAlpha = 0.55;
  if (isHidden) {
    pen.fillRect(1, 1, 2, 2);
    pen.fillRect(5, 5, 2, 2);
  } else {
    pen.beginPath();
    for (const shift of [-8, 0, 8]) {
      pen.moveTo(shift, 8);
      pen.lineTo(shift + 8, 0);
    }
    pen.stroke();
  }
  return context.createPattern(tile, "repeat");
}

function drawCoverage(plot, periods, now) {
  const { ctx, bbox } = plot;
  ctx.save();
  for (const [index, period] of periods.entries()) {
    const share = missing(period, now) / lasts(period);
    if (!share && !period.hidden) continue;
    const [left, right] = [index, index + 1].map((at) => Math.round(plot.valToPos(at, "x", true)));
    if (share) {
      ctx.fillStyle = pattern(ctx, false);
      ctx.fillRect(left, bbox.top, right - left, bbox.height * Math.min(1, share));
    }
    if (period.hidden) {
      ctx.fillStyle = pattern(ctx, true);
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
    }
  }
  ctx.restore();
}

// Where the axis has times: at full hours, every third or sixth.
function places(periods, width) {
  const every = width < NARROW ? 6 : 3;
  const found = periods.flatMap((period, index) => {
    const [hour, minute] = clock(period).split(":").map(Number);
    const isRepeated = index > 0 && clock(periods[index - 1]) === clock(period);
    return minute === 0 && hour % every === 0 && !isRepeated ? [index] : [];
  });
  return [...found, periods.length];
}

// A chart of `series` = [{label, values, color, paths, scale}], in `place`.
export class Chart {
  constructor(place, { height, onCursor = () => {} }) {
    this.place = place;
    this.height = height;
    this.onCursor = onCursor;
    this.at = null; // the period that the cursor is on
    this.plot = null;
    new ResizeObserver(() => this.resize()).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  show(periods, series, options) {
    this.shown = [periods, series, options];
    this.redraw();
  }

  redraw() {
    if (!this.shown) return;
    const [periods, series, options] = this.shown;
    this.plot?.destroy();
    const x = Array.from({ length: periods.length + 1 }, (_, index) => index);
    const values = series.map((each) => [...each.values, each.values.at(-1)]);
    this.plot = new uPlot(this.options(periods, series, options), [x, ...values], this.place);
  }

  options(periods, series, { now, name, bands = [], hasRight = false }) {
    const axis = {
      stroke: cssColor("--soft"), font: FONT, ticks: { show: false },
      grid: { stroke: cssColor("--line"), width: 1 },
    };
    const width = Math.max(this.place.clientWidth, 240);
    const time = (at) => (at === periods.length ? "24:00" : clock(periods[at]));
    return {
      width, height: this.height,
      legend: { show: false },
      cursor: {
        y: false, points: { show: false }, drag: { setScale: false, x: false },
      },
      padding: [12, hasRight ? 0 : 18, 0, 0],
      scales: {
        x: { time: false, range: [0, periods.length] },
        y: { range: (_, low, high) => [0, Math.max(high * 1.05, 1)] },
        ...(hasRight ? { right: { range: (_, low, high) => [0, Math.max(high * 1.05, 1)] } } : {}),
      },
      axes: [
        { ...axis, grid: { show: false }, size: 26, splits: () => places(periods, width), values: (_, all) => all.map(time) },
        { ...axis, size: SIDE, space: 34, incrs: STEPS },
        ...(hasRight ? [{ ...axis, scale: "right", side: 1, size: SIDE, space: 34, incrs: SMALL_STEPS, grid: { show: false } }] : []),
      ],
      series: [
        {},
        ...series.map((each) => ({
          label: each.label, scale: each.scale ?? "y", paths: each.paths,
          stroke: each.stroke ?? each.color, fill: each.fill, width: each.width ?? 2, dash: each.dash,
          points: { show: false }, spanGaps: false,
        })),
      ],
      bands,
      hooks: {
        drawClear: [(plot) => drawCoverage(plot, periods, now)],
        ready: [(plot) => {
          plot.root.setAttribute("role", "img");
          plot.root.setAttribute("aria-label", name);
          for (const kind of ["pointermove", "pointerdown"]) {
            plot.over.addEventListener(kind, ({ offsetX }) => {
              const at = Math.floor(plot.posToVal(offsetX, "x"));
              this.onCursor(Math.max(0, Math.min(at, periods.length - 1)));
            });
          }
          if (this.at !== null) this.point(this.at);
        }],
      },
    };
  }

  // Put the cursor on a period.
  point(index) {
    this.at = index;
    this.plot?.setCursor({ left: this.plot.valToPos(index + 0.5, "x"), top: 0 });
  }

  resize() {
    const width = Math.max(this.place.clientWidth, 240);
    if (this.plot && this.plot.width !== width) this.redraw();
  }
}

export const area = () => uPlot.paths.stepped({ align: 1 });
export const bars = (share, align) => uPlot.paths.bars({ size: [share, 100], align });

// A line in steps that ends with each known period; uPlot's own ends where the period begins.
export const steps = () => (plot, number, first, last) => {
  const values = plot.data[number];
  const [x, y] = [(at) => plot.valToPos(at, "x", true), (at) => plot.valToPos(values[at], plot.series[number].scale, true)];
  const stroke = new Path2D();
  for (let at = first; at < last; at += 1) {
    if (values[at] === null) continue;
    if (at === first || values[at - 1] === null) stroke.moveTo(x(at), y(at));
    else stroke.lineTo(x(at), y(at));
    stroke.lineTo(x(at + 1), y(at));
  }
  return { stroke };
};

// Values of a line, with gaps where next to nothing was recorded, or nothing is shown.
export const known = (periods, value) => periods.map((period) => (
  isShown(period) && period.recorded_s > LEAST_SHARE * lasts(period) ? value(period) : null));
