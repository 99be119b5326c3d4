// The page: shows what the daemon sends, and reconnects when it is away.
// All text is set through textContent, so no name of a camera or a label can become markup.

import { byId, duration, make, setText } from "./dom.js";
import { Boxes } from "./boxes.js";
import { EventList } from "./events.js";
import { FaceCards } from "./faces.js";
import { Masks } from "./masks.js";
import { Picture } from "./picture.js";
import { FaceAtRest } from "./rest.js";
import { Timeline } from "./timeline.js";
import { offerTrial } from "./trial.js";

const RETRY_MS = 2000;
const TIMEOUT_MS = 5000; // for an answer
const SILENCE_MS = 5000; // the state is sent every second
const PAST_MS = 10 * 60 * 1000;

const boxes = new Boxes(byId("boxes"));
const masks = new Masks(byId("masks"), byId("masks-note"));
const rest = new FaceAtRest();
const picture = new Picture(byId("picture"));
const cards = new FaceCards(byId("faces"));
const timeline = new Timeline(byId("lanes"), PAST_MS);
const events = new EventList(byId("events"), byId("kind"), byId("label"));

let labels = [];
let source = null;
let lastId = "";
let retry = 0;
let silence = 0;
let isDrawingChosen = false; // by the viewer
let ahead_ms = 0; // how far the daemon's clock is ahead of the browser's

// --- showing what was received ----------------------------------------------------------------

function showCondition(condition, text, banner = "") {
  byId("pill").dataset.state = condition;
  setText(byId("pill"), text);
  setText(byId("banner"), banner);
  byId("banner").hidden = banner === "";
  document.body.classList.toggle("stale", condition === "gone" || condition === "out");
}

function showCamera({ camera, controls }) {
  switch (camera.state) {
    case "ok": return showCondition("ok", controls?.pause ? "Paused" : "Live");
    case "starting": return showCondition("wait", "Starting");
    case "ended": return showCondition("wait", "Ended");
    default: return showCondition("lost", "Camera lost", `Camera lost. ${camera.notice}`);
  }
}

// Sentences about what does not work, though the camera does.
function notices(state) {
  const found = [];
  if (state.camera.no_camera_found) {
    found.push("No camera was found, so this is the built-in demo. Connect a camera, and it is used at "
      + "once; if one is connected, run “mien doctor” on the device to see what is wrong.");
  }
  if (state.controls?.pause) found.push("Paused: nothing is analyzed and nothing is shown.");
  if (state.event_log?.trouble) found.push(`Events are not saved: ${state.event_log.trouble}`);
  if (state.snapshots?.trouble) found.push(`Pictures are not saved: ${state.snapshots.trouble}`);
  if (state.mqtt && !state.mqtt.connected) {
    const reason = state.mqtt.trouble ? `: ${state.mqtt.trouble}` : "";
    found.push(`The MQTT broker is not connected${reason}`);
  }
  if (["refused", "failed"].includes(state.update?.state)) {
    found.push(`The newest model is not in use: ${state.update.reason}`);
  }
  return found.map((sentence) => (/[.!?]$/.test(sentence) ? sentence : `${sentence}.`));
}

function showNotices(state) {
  const list = byId("notices");
  const wanted = notices(state);
  const shown = [...list.children].map((item) => item.textContent);
  if (wanted.join("\n") === shown.join("\n")) return;
  list.replaceChildren(...wanted.map((sentence) => make("li", sentence)));
  list.hidden = wanted.length === 0;
}

function facts(state) {
  const number = (value, digits, unit) => (Number.isFinite(value) ? `${value.toFixed(digits)}${unit}` : "–");
  return [
    ["Frame rate", number(state.fps, 1, " fps")],
    ["Latency", number(state.latency_ms, 0, " ms")],
    ["Temperature", number(Math.max(...Object.values(state.board.temperatures_c)), 0, " °C")],
    ["Throttled by", limits(state.board)],
    ["Viewers", String(state.viewers)],
    ["Uptime", duration(state.uptime_s)],
    ["Source", state.camera.source],
    ["Model", `${state.model.name} (${state.model.sha256.slice(0, 8)})`],
    ["Detector", state.detector],
    ["Runtime", state.runtime],
    ["Version", state.version],
  ];
}

// What slows the board down; not every kernel reports it.
function limits(board) {
  return board.limits ? board.limits.join(", ").replaceAll("_", " ") || "nothing" : "–";
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

function showLegend() {
  byId("legend").replaceChildren(...labels.map((label) => {
    const item = document.createElement("li");
    const dot = make("span", "", "dot");
    dot.dataset.label = label;
    item.append(dot, label);
    return item;
  }));
}

function onState(state) {
  const name = state.camera.name || state.camera.source;
  setText(byId("camera-name"), name);
  document.title = `${name} · Mien`;
  ahead_ms = Date.parse(state.time) - Date.now();
  if (labels.join() !== state.model.labels.join()) {
    labels = state.model.labels;
    events.offerLabels(labels);
    showLegend();
  }
  showCamera(state);
  showNotices(state);
  showFacts(state);
  masks.show(state.masks ?? []);
  rest.show(state.calibration);
  byId("no-past").hidden = timeline.draw(Date.now() + ahead_ms) > 0;
  if (state.camera.state === "ok") picture.check();
}

function onFaces(view) {
  cards.show(view.faces, labels);
  boxes.draw(view);
  masks.fit(view.size);
  setText(byId("face-count"), view.faces.length ? String(view.faces.length) : "");
  byId("no-faces").hidden = view.faces.length > 0;
}

function onEvent(event) {
  timeline.add(event);
  events.add(event);
}

// --- connecting to the daemon -----------------------------------------------------------------

async function request(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (answer.status === 401 || answer.status === 429) throw new DOMException("", "NotAllowedError");
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

async function readPast(since) {
  let next = lastId;
  do {
    const query = new URLSearchParams({ since, limit: "2000", after: next ?? "" });
    const page = await request(`events?${query}`);
    for (const event of page.events) {
      onEvent(event);
      lastId = event.id;
    }
    next = page.next;
  } while (next);
}

async function connect() {
  clearTimeout(retry);
  disconnect();
  try {
    const state = await request("state");
    onState(state);
    const since = new Date(Date.now() + ahead_ms - PAST_MS).toISOString();
    if (!lastId) await readPast(since);
    follow(lastId ? { last_event_id: lastId } : { since });
    // The camera's own JPEGs cost the daemon nothing.
    if (!isDrawingChosen && state.camera_jpeg !== undefined) drawInBrowser(state.camera_jpeg);
    picture.start();
  } catch (error) {
    onNoAnswer(error);
  }
}

function follow(from) {
  source = new EventSource(`events?${new URLSearchParams({ live: "1", ...from })}`);
  source.addEventListener("state", (message) => {
    expectMore();
    onState(JSON.parse(message.data));
  });
  source.addEventListener("faces", (message) => onFaces(JSON.parse(message.data)));
  source.addEventListener("message", (message) => {
    lastId = message.lastEventId;
    onEvent({ id: lastId, ...JSON.parse(message.data) });
  });
  source.addEventListener("error", connect);
  expectMore();
}

// Not every lost connection is reported as an error; but the state is sent every second.
function expectMore() {
  clearTimeout(silence);
  silence = setTimeout(connect, SILENCE_MS);
}

function disconnect() {
  clearTimeout(silence);
  source?.close();
  source = null;
}

function onNoAnswer(error) {
  disconnect();
  picture.stop();
  if (error.name === "NotAllowedError") {
    showCondition("out", "Signed out", "You are signed out. ");
    const link = make("a", "Sign in again");
    link.href = "./";
    byId("banner").append(link);
  } else {
    showCondition("gone", "Not connected", "The daemon does not answer. Trying again.");
  }
  clearTimeout(retry);
  retry = setTimeout(connect, RETRY_MS);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    connect();
    return;
  }
  clearTimeout(retry);
  disconnect();
  picture.stop();
});

function drawInBrowser(on) {
  byId("bare").checked = on;
  picture.setBare(on);
  boxes.show(on);
}

byId("bare").addEventListener("change", (change) => {
  isDrawingChosen = true;
  drawInBrowser(change.target.checked);
});

offerTrial(() => labels);
connect();
