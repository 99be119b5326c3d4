// A photo of the visitor's in, its faces out; from a file, by dropping it, or from a camera.

import { byId, fromTemplate, setText } from "./dom.js";
import { fillCard } from "./faces.js";

const MAX_BYTES = 10_000_000;

export function offerTrial(labels) {
  const drop = byId("drop");
  const look = (photo) => lookAt(photo, labels());
  byId("file").addEventListener("change", ({ target }) => {
    if (target.files[0]) look(target.files[0]);
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
    if (photo) look(photo);
  });
  offerCamera(look);
}

// Browsers offer a camera only to https pages and to those of this machine.
function offerCamera(look) {
  const [button, preview] = [byId("take"), byId("preview")];
  button.hidden = !navigator.mediaDevices;
  button.addEventListener("click", async () => {
    if (preview.srcObject) {
      look(await photoOf(preview));
      end(preview, button);
      return;
    }
    try {
      preview.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 1280 } });
    } catch {
      setText(byId("try-note"), "The browser gives no camera.");
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

async function lookAt(photo, labels) {
  const note = byId("try-note");
  byId("try-picture").hidden = true;
  byId("try-faces").replaceChildren();
  if (photo.size > MAX_BYTES) return setText(note, "A picture may have 10 MB.");
  setText(note, "Looking…");
  const asked = { method: "POST", body: photo, headers: { Accept: "application/json" } };
  const answer = await fetch("api/classify", asked).catch(() => null);
  if (!answer) return setText(note, "The daemon does not answer.");
  if (!answer.ok) return setText(note, (await answer.text()).trim());
  return show(await answer.json(), labels);
}

function show(result, labels) {
  const count = result.faces.length;
  setText(byId("try-note"), count ? `${count} ${count === 1 ? "face" : "faces"} found.` : "No face found.");
  byId("try-picture").src = result.picture;
  byId("try-picture").hidden = false;
  byId("try-faces").replaceChildren(...result.faces.map((face) => {
    const card = fromTemplate("face-card");
    fillCard(card, face, labels, `Face ${face.id}`);
    return card;
  }));
}
