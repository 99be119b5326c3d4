// A card per face: its expression, for how long, and a bar per score.

import { duration, fromTemplate, percent, setText } from "./dom.js";

export class FaceCards {
  constructor(list) {
    this.list = list;
    this.cards = new Map();
  }

  show(faces, labels) {
    const gone = new Set(this.cards.keys());
    for (const face of faces) {
      gone.delete(face.id);
      if (!this.cards.has(face.id)) {
        const card = fromTemplate("face-card");
        this.cards.set(face.id, card);
        this.list.append(card);
      }
      fillCard(this.cards.get(face.id), face, labels, face.label ? ` · for ${duration(face.since_s)}` : "");
    }
    for (const id of gone) {
      this.cards.get(id).remove();
      this.cards.delete(id);
    }
  }
}

export function fillCard(card, face, labels, since = "") {
  const known = face.label !== "";
  if (card.dataset.face !== String(face.id)) card.dataset.face = face.id;
  if (card.dataset.label !== face.label) card.dataset.label = face.label;
  setText(card.querySelector(".label"), known ? face.label : "analyzing…");
  setText(card.querySelector("h3 .percent"), known ? percent(face.score) : "");
  setText(card.querySelector(".meta"), `Face ${face.id}${since} · detection ${percent(face.detection_score)}`);
  card.querySelector(".hint").hidden = face.label !== "uncertain";
  const bars = card.querySelector(".bars");
  while (bars.children.length > labels.length) bars.lastElementChild.remove();
  while (bars.children.length < labels.length) bars.append(fromTemplate("bar-row"));
  const best = Math.max(...Object.values(face.scores));
  labels.forEach((label, index) => fillRow(bars.children[index], label, face.scores[label] ?? 0, best));
}

function fillRow(row, label, score, best) {
  if (row.dataset.label !== label) row.dataset.label = label;
  row.classList.toggle("top-score", score > 0 && score === best);
  setText(row.querySelector(".name"), label);
  setText(row.querySelector(".percent"), percent(score));
  row.querySelector(".bar").style.width = `${score * 100}%`;
}
