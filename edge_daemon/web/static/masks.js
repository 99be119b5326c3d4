// Privacy masks, hatched over the picture; their shapes are shares of its width and height.

import { makeSvg } from "./dom.js";

export class Masks {
  constructor(svg, note) {
    [this.svg, this.note] = [svg, note];
    [this.shapes, this.size] = [[], [1, 1]];
  }

  show(shapes) {
    if (shapes.join(";") === this.shapes.join(";")) return;
    this.shapes = shapes;
    this.svg.toggleAttribute("hidden", shapes.length === 0);
    this.note.hidden = shapes.length === 0;
    this.draw();
  }

  fit(size) {
    if (size.join() === this.size.join()) return;
    this.size = size;
    this.draw();
  }

  draw() {
    const [width, height] = this.size;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.replaceChildren(...this.shapes.map((shape) => {
      const points = corners(shape).map(([x, y]) => `${x * width},${y * height}`);
      return makeSvg("polygon", { points: points.join(" "), class: "mask" });
    }));
  }
}

// Four numbers are a rectangle's x, y, width and height; more are a polygon's corners.
function corners(shape) {
  if (shape.length > 4) return shape.flatMap((x, i) => (i % 2 ? [] : [[x, shape[i + 1]]]));
  const [x, y, w, h] = shape;
  return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]];
}
