// The face at rest: records it, shows what it corrects, and removes it.

import { byId, setText } from "./dom.js";

const MINUTE_S = 60;

export class FaceAtRest {
  constructor() {
    [this.record, this.remove] = [byId("rest-record"), byId("rest-remove")];
    this.record?.addEventListener("click", () => this.act({ action: "start", seconds: MINUTE_S }));
    this.remove?.addEventListener("click", () => this.act({ action: "remove" }));
  }

  show(calibration) {
    byId("rest").hidden = !calibration;
    if (!calibration) return;
    const isRecording = calibration.state === "recording";
    setText(byId("rest-text"), text(calibration));
    if (!this.record) return;
    this.record.hidden = isRecording;
    setText(this.record, calibration.state === "active" ? "Record again" : "Record a face at rest");
    this.remove.hidden = calibration.state === "none" && !calibration.trouble;
    setText(this.remove, isRecording ? "Cancel" : "Remove");
  }

  async act(body) {
    const answer = await fetch("api/calibration", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(body),
    }).catch(() => null);
    const values = await answer?.json().catch(() => null);
    if (answer?.ok) this.show(values);
    else setText(byId("rest-text"), values?.detail ?? "The daemon does not answer.");
  }
}

function text({ state, left_s: left, samples, bias, made_at: madeAt, trouble }) {
  if (state === "recording") {
    return samples
      ? `Recording: keep a neutral face for ${Math.ceil(left)} s.`
      : "Recording starts when a face is in view: look at the camera with a neutral face.";
  }
  if (trouble) return trouble;
  if (state === "none") return "The scores can be corrected by a face that expresses nothing, recorded for a minute.";
  const changed = Object.entries(bias).filter(([, value]) => value !== 0);
  const list = changed.map(([label, value]) => `${label} ${value > 0 ? "raised" : "lowered"}`).join(", ");
  return `Scores are corrected by a face at rest, recorded ${new Date(madeAt).toLocaleString()}: ${list || "nothing to correct"}.`;
}
