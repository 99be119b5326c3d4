// Small helpers for the document.

export const byId = (id) => document.getElementById(id);
export const percent = (score) => `${Math.round(score * 100)}%`;

export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(s / unit));
  const parts = days ? [days, "d", hours % 24, "h"]
    : hours ? [hours, "h", minutes % 60, "min"]
    : minutes ? [minutes, "min", s % 60, "s"]
    : [s, "s"];
  return parts.join("\u00a0"); // non-breaking
}

export function make(tag, text, className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  return element;
}

export function makeSvg(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

export function fromTemplate(id) {
  return byId(id).content.firstElementChild.cloneNode(true);
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
