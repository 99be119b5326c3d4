// Classifies a photo from a file, from a drop, or from the visitor's camera.

import { byId, fromTemplate, setText } from "./dom.js";
import { fillCard } from "./faces.js";

const MAX_BYTES = 10_000_000;

export function offerTrial(labels) {
  const drop = byId("drop");
  const send = (photo) => classify(photo, labels());
  byId("file").addEventListener("change", ({ target }) => {
    if (target.files[0]) send(target.files[0]);
    target.value = ""; // the same file may be chosen again
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
    });
  }
  drop.addEventListener("drop", (event) => {
    const [photo] = event.dataTransfer.files;
    if (photo) send(photo);
  });
  offerCamera(send);
}

// Browsers offer a camera only to pages over https or from the same machine.
function offerCamera(send) {
  const [button, preview] = [byId("take"), byId("preview")];
  button.hidden = !navigator.mediaDevices;
  button.addEventListener("click", async () => {
    if (preview.srcObject) {
      send(await photoOf(preview));
      end(preview, button);
      return;
    }
    try {
      preview.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 1280 } });
    } catch {
      setText(byId("try-note"), "The browser does not allow a camera.");
      return;
    }
    preview.hidden = false;
    await preview.play();
    setText(button, "Take the picture");
  });
}

function end(preview, button) {
  for (const track of preview.srcObject.getTracks()) track.stop();
  preview.srcObject = null;
  preview.hidden = true;
  setText(button, "Use my camera");
}

function photoOf(video) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
}

async function classify(photo, labels) {
  const note = byId("try-note");
  byId("try-picture").hidden = true;
  byId("try-faces").replaceChildren();
  if (photo.size > MAX_BYTES) return setText(note, "The picture is larger than 10 MB.");
  setText(note, "Analyzing…");
  const options = { method: "POST", body: photo, headers: { Accept: "application/json" } };
  const answer = await fetch("api/classify", options).catch(() => null);
  if (!answer) return setText(note, "The daemon does not answer.");
  if (!answer.ok) return setText(note, await reason(answer));
  return show(await answer.json(), labels);
}

async function reason(answer) {
  const problem = await answer.json().catch(() => ({}));
  return problem.detail ?? `The daemon answered ${answer.status}.`;
}

function show(result, labels) {
  const count = result.faces.length;
  setText(byId("try-note"), count ? `${count} ${count === 1 ? "face" : "faces"} found.` : "No face found.");
  byId("try-picture").src = result.picture;
  byId("try-picture").hidden = false;
  byId("try-faces").replaceChildren(...result.faces.map((face) => {
    const card = fromTemplate("face-card");
    fillCard(card, face, labels);
    return card;
  }));
}
