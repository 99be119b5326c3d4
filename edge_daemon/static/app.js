// Shows /state beside the live picture, and finds its way back when the daemon or the picture goes.
// All text goes in through textContent, so nothing that a camera or a model is called can be markup.

const POLL_MS = 500;
const ANSWER_WITHIN_MS = 3000;
const RETRY_PICTURE_MS = 3000;
const STILL_PICTURE_MS = 8000; // a browser says nothing when a stream ends: judge by the picture

const byId = (id) => document.getElementById(id);
const percent = (score) => `${Math.round(score * 100)}%`;

function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(s / unit));
  const parts = days ? [days, "d", hours % 24, "h"]
    : hours ? [hours, "h", minutes % 60, "min"]
    : minutes ? [minutes, "min", s % 60, "s"]
    : [s, "s"];
  return parts.join("\u00a0"); // no line break within
}

function make(tag, text, className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  return element;
}

function fromTemplate(id) {
  return byId(id).content.firstElementChild.cloneNode(true);
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// --- the live picture ------------------------------------------------------------------------

class Picture {
  constructor(image) {
    this.image = image;
    this.retry = 0;
    this.look = "";
    this.changedAt = performance.now();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [32, 24];
    this.canvas = canvas.getContext("2d", { willReadFrequently: true });
    image.addEventListener("error", () => {
      clearTimeout(this.retry);
      this.retry = setTimeout(() => this.restart(), RETRY_PICTURE_MS);
    });
  }

  restart() {
    clearTimeout(this.retry);
    this.changedAt = performance.now();
    this.image.src = `stream.mjpg?t=${Date.now()}`;
  }

  stop() {
    clearTimeout(this.retry);
    this.image.removeAttribute("src");
  }

  // Restart a stream whose picture has stood still although the camera delivers.
  watch() {
    if (!this.image.naturalWidth) return;
    const { width, height } = this.canvas.canvas;
    this.canvas.drawImage(this.image, 0, 0, width, height);
    const look = this.canvas.getImageData(0, 0, width, height).data.join();
    const now = performance.now();
    if (look !== this.look) [this.look, this.changedAt] = [look, now];
    else if (now - this.changedAt > STILL_PICTURE_MS) this.restart();
  }
}

// --- faces -----------------------------------------------------------------------------------

const cards = new Map();

function showFaces(faces, labels) {
  const gone = new Set(cards.keys());
  for (const face of faces) {
    gone.delete(face.id);
    if (!cards.has(face.id)) {
      const card = fromTemplate("face-card");
      cards.set(face.id, card);
      byId("faces").append(card);
    }
    fillCard(cards.get(face.id), face, labels);
  }
  for (const id of gone) {
    cards.get(id).remove();
    cards.delete(id);
  }
  setText(byId("face-count"), faces.length ? String(faces.length) : "");
  byId("no-faces").hidden = faces.length > 0;
}

function fillCard(card, face, labels) {
  const known = face.label !== "";
  card.dataset.face = face.id;
  card.dataset.label = face.label;
  setText(card.querySelector(".label"), known ? face.label : "looking…");
  setText(card.querySelector("h3 .percent"), known ? percent(face.score) : "");
  setText(card.querySelector(".meta"), `Face ${face.id}` + (known ? ` · for ${duration(face.since_s)}` : ""));
  const bars = card.querySelector(".bars");
  while (bars.children.length > labels.length) bars.lastElementChild.remove();
  while (bars.children.length < labels.length) bars.append(fromTemplate("bar-row"));
  const best = Math.max(...Object.values(face.scores));
  labels.forEach((label, index) => fillRow(bars.children[index], label, face.scores[label] ?? 0, best));
}

function fillRow(row, label, score, best) {
  row.dataset.label = label;
  row.classList.toggle("top-score", score > 0 && score === best);
  setText(row.querySelector(".name"), label);
  setText(row.querySelector(".percent"), percent(score));
  row.querySelector(".bar").style.width = `${score * 100}%`;
}

// --- status and events -----------------------------------------------------------------------

function facts(state) {
  const number = (value, digits, unit) => (Number.isFinite(value) ? `${value.toFixed(digits)}${unit}` : "–");
  return [
    ["Frame rate", number(state.fps, 1, " fps")],
    ["Latency", number(state.latency_ms, 0, " ms")],
    ["Viewers", String(state.viewers)],
    ["Running for", duration(state.uptime_s)],
    ["Source", state.camera.source],
    ["Model", `${state.model.name} (${state.model.sha256.slice(0, 8)})`],
    ["Detector", state.detector],
    ["Runtime", state.runtime],
    ["Version", state.version],
  ];
}

function showFacts(state) {
  const list = byId("facts");
  for (const [index, [term, value]] of facts(state).entries()) {
    let entry = list.children[index];
    if (!entry) {
      entry = document.createElement("div");
      entry.append(make("dt", term), make("dd", ""));
      list.append(entry);
    }
    setText(entry.lastElementChild, value);
  }
}

function sentence(event) {
  const face = `Face ${event.face}`;
  const after = Number.isFinite(event.duration_s) ? ` after ${duration(event.duration_s)}` : "";
  const score = Number.isFinite(event.score) ? ` (${percent(event.score)})` : "";
  switch (event.type) {
    case "face_start": return `${face} came into view`;
    case "face_end": return `${face} left${after}`;
    case "expression_start": return `${face}: ${event.label}${score}`;
    case "expression_change": return `${face}: ${event.previous} → ${event.label}${score}`;
    case "expression_end": return `${face}: ${event.label} ended${after}`;
    case "camera_lost": return "The camera was lost";
    case "camera_restored": return "The camera is back";
    case "daemon_start": return "The daemon started";
    case "daemon_stop": return "The daemon stopped";
    default: return event.type;
  }
}

let shownEvents = "";

function showEvents(events) {
  const key = JSON.stringify(events);
  if (key === shownEvents) return;
  shownEvents = key;
  byId("events").replaceChildren(...events.map((event) => {
    const item = document.createElement("li");
    const time = make("time", new Date(event.time).toLocaleTimeString());
    time.dateTime = event.time;
    const dot = make("span", "", "dot");
    dot.dataset.label = event.label ?? "";
    item.append(time, dot, make("span", sentence(event)));
    return item;
  }));
  byId("no-events").hidden = events.length > 0;
}

// --- the whole page --------------------------------------------------------------------------

const picture = new Picture(byId("picture"));
let gone = false;
let lastUptime = 0;

function showCondition(condition, text, banner) {
  byId("pill").dataset.state = condition;
  setText(byId("pill"), text);
  setText(byId("banner"), banner);
  byId("banner").hidden = banner === "";
  document.body.classList.toggle("stale", condition === "gone");
}

function showCamera(camera) {
  switch (camera.state) {
    case "ok": return showCondition("ok", "Live", "");
    case "starting": return showCondition("wait", "Starting", "");
    case "ended": return showCondition("wait", "Ended", "");
    default: return showCondition("lost", "Camera lost", `Camera lost. ${camera.notice}`);
  }
}

function show(state) {
  const name = state.camera.name || state.camera.source;
  setText(byId("camera-name"), name);
  document.title = `${name} · Mien`;
  showCamera(state.camera);
  showFaces(state.faces, state.model.labels);
  showFacts(state);
  showEvents(state.events);
}

async function readState() {
  const answer = await fetch("state", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
  if (!answer.ok) throw new Error(`/state answered ${answer.status}`);
  return answer.json();
}

function onState(state) {
  if (gone || state.uptime_s < lastUptime) picture.restart();
  gone = false;
  lastUptime = state.uptime_s;
  show(state);
  if (state.camera.state === "ok") picture.watch();
}

function onNoState() {
  gone = true;
  showCondition("gone", "Not connected", "The daemon does not answer. Trying to reach it again.");
}

async function poll() {
  try {
    const state = document.hidden ? undefined : await readState().catch(() => null);
    if (state) onState(state);
    else if (state === null) onNoState();
  } finally {
    setTimeout(poll, POLL_MS);
  }
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) picture.stop();
  else picture.restart();
});
poll();
