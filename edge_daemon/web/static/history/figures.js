// Periods as /history answers them: how they are named and told in words.

import { duration } from "../dom.js";

export const OTHER = "not classified"; // faces without a label, or with an unclear one
const ORDER = ["happy", "surprise", "neutral", "sad", "fear", "disgust", "contempt", "angry"];
const COMPLETE_S = 1; // less that was not recorded is not mentioned

export const clock = (period) => period.start.slice(11, 16);
export const endClock = (period) => (period.end.slice(11, 16) === "00:00" ? "24:00" : period.end.slice(11, 16));
export const lasts = (period) => (Date.parse(period.end) - Date.parse(period.start)) / 1000;

// The date `days` after "2026-03-25".
export function shifted(date, days) {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * 86400000).toISOString().slice(0, 10);
}

export function dateName(date) {
  return new Date(`${date}T00:00:00Z`).toLocaleDateString(
    undefined, { timeZone: "UTC", weekday: "long", day: "numeric", month: "long", year: "numeric" },
  );
}

// How many seconds of the period were not recorded; those after `now` (ms) are still to come.
export function missing(period, now) {
  const passed = Math.max(0, Math.min(Date.parse(period.end), now) - Date.parse(period.start)) / 1000;
  const missed = passed - period.recorded_s;
  return missed > COMPLETE_S ? missed : 0;
}

export const isRecorded = (period) => period.recorded_s > 0;
export const isShown = (period) => isRecorded(period) && !period.hidden;

// Seconds of each label, with what is left of the time of all faces.
export function seconds(period, label) {
  if (!isShown(period)) return 0;
  if (label !== OTHER) return period.expressions[label] ?? 0;
  const known = Object.values(period.expressions).reduce((sum, each) => sum + each, 0);
  return Math.max(0, period.face_s - known);
}

export function labelsOf(periods) {
  const found = new Set(periods.flatMap((period) => Object.keys(period.expressions ?? {})));
  const known = ORDER.filter((label) => found.delete(label));
  const rest = periods.some((period) => seconds(period, OTHER) > 0.5) ? [OTHER] : [];
  return [...known, ...[...found].sort(), ...rest];
}

// "1:02:03"
export function exact(total_s) {
  const total = Math.round(total_s);
  const parts = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  return parts.map((part, index) => (index ? String(part).padStart(2, "0") : part)).join(":");
}

export const stay = (value) => (value === null || value === undefined ? "–" : duration(value));

export function coverageText(period, now) {
  if (Date.parse(period.start) >= now) return "to come";
  if (!isRecorded(period)) return "not recorded";
  const missed = missing(period, now);
  return missed ? `partly recorded, ${exact(missed)} missing` : "recorded";
}

// One sentence about a period.
export function told(period, now) {
  const when = `${clock(period)} to ${endClock(period)}`;
  if (!isRecorded(period)) return `${when}: ${coverageText(period, now)}.`;
  const note = missing(period, now) ? ` (${coverageText(period, now)})` : "";
  if (period.hidden) return `${when}${note}: too few faces to be shown.`;
  if (!period.faces) return `${when}${note}: no face.`;
  const faces = `${period.faces} ${period.faces === 1 ? "face" : "faces"}`;
  const parts = labelsOf([period]).map((label) => `${label} ${duration(seconds(period, label))}`);
  return `${when}${note}: ${[faces, ...parts].join(", ")}.`;
}
