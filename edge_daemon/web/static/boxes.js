// Boxes drawn over the stream without overlay, in the frame's pixels.

import { makeSvg, percent } from "./dom.js";

export class Boxes {
  constructor(svg) {
    this.svg = svg;
  }

  show(on) {
    this.svg.toggleAttribute("hidden", !on);
  }

  draw({ size: [width, height], notice, faces }) {
    if (this.svg.hasAttribute("hidden")) return;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const shown = notice ? [] : faces;
    this.svg.replaceChildren(...shown.map((face) => faceBox(face, height / 480)));
  }
}

function faceBox(face, scale) {
  const [x, y, width, height] = face.box;
  const group = makeSvg("g", { "data-label": face.label });
  const rim = { x, y, width, height, rx: 6 * scale };
  group.append(makeSvg("rect", { ...rim, class: "rim", "stroke-width": 5 * scale }));
  group.append(makeSvg("rect", { ...rim, class: "box", "stroke-width": 2.5 * scale }));
  const text = face.label ? `#${face.id} ${face.label} ${percent(face.score)}` : `#${face.id}`;
  const size = 15 * scale;
  const above = y > 2 * size ? y - 0.55 * size : y + height + 1.25 * size;
  group.append(makeSvg("text", { x, y: above, "font-size": size, class: "tag" }, text));
  return group;
}
