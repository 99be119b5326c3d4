// The page of settings: a form made from what the daemon offers, and a review before it is saved.
// Values are texts, as one writes them in the file; the daemon checks them.

import { byId, make, setText } from "./dom.js";

const TIMEOUT_MS = 60_000; // a change may load the model again
const NAMES = { "": "empty", true: "on", false: "off" };
const form = byId("settings");
let loaded = { version: "", settings: [] };

// --- the form ---------------------------------------------------------------------------------

function control(setting) {
  if (setting.kind === "choice") {
    const select = document.createElement("select");
    select.append(...setting.choices.map((choice) => new Option(choice, choice)));
    select.value = setting.value;
    for (const option of select.options) option.defaultSelected = option.selected;
    return select;
  }
  const input = document.createElement("input");
  if (setting.kind === "boolean") {
    input.type = "checkbox";
    input.setAttribute("role", "switch");
    input.defaultChecked = setting.value === "true";
    return input;
  }
  if (setting.kind === "text") {
    input.autocapitalize = input.autocomplete = "off";
    input.spellcheck = false;
  } else {
    input.type = "number";
    input.step = setting.kind === "integer" ? "1" : "any";
    input.min = setting.minimum ?? "";
    input.max = setting.maximum ?? "";
  }
  input.defaultValue = setting.value;
  return input;
}

function field(setting) {
  const row = make("div", "", "field");
  const input = control(setting);
  input.id = setting.key;
  const label = make("label", setting.key.split(".")[1]);
  label.htmlFor = input.id;
  const about = make("p", setting.description, "about");
  about.id = `about-${setting.key}`;
  const accepts = setting.accepts.replaceAll(" | ", ", ");
  about.append(` (${accepts}; default: ${NAMES[setting.default] ?? setting.default})`);
  if (setting.set_by) {
    input.disabled = true;
    about.append(make("strong", ` Set by ${setting.set_by}.`));
  }
  input.setAttribute("aria-describedby", about.id);
  row.append(label, input, about);
  return row;
}

function sections(settings) {
  const sets = new Map();
  for (const setting of settings) {
    const name = setting.key.split(".")[0];
    if (!sets.has(name)) {
      sets.set(name, make("fieldset", "", "panel"));
      sets.get(name).append(make("legend", name), make("p", setting.section, "about"));
    }
    sets.get(name).append(field(setting));
  }
  return sets.values();
}

function show(settings) {
  loaded = settings;
  setText(byId("file"), settings.file);
  byId("sections").replaceChildren(...sections(settings.settings));
  complain(settings.trouble);
  onInput();
}

const valueOf = (input) => (input.type === "checkbox" ? String(input.checked) : input.value);

function changes() {
  const changed = loaded.settings.filter(({ key, value }) => valueOf(byId(key)) !== value);
  return Object.fromEntries(changed.map(({ key }) => [key, valueOf(byId(key))]));
}

function onInput() {
  const isChanged = Object.keys(changes()).length > 0;
  byId("review").disabled = !isChanged || loaded.trouble !== "";
  byId("undo").disabled = !isChanged;
}

// Say what is wrong, and go to the setting that the sentence names.
function complain(sentence) {
  setText(byId("problem"), sentence);
  for (const wrong of form.querySelectorAll("[aria-invalid]")) wrong.removeAttribute("aria-invalid");
  const named = loaded.settings.filter(({ key }) => sentence.includes(key));
  const longest = named.sort((a, b) => b.key.length - a.key.length)[0];
  if (!longest) return;
  const input = byId(longest.key);
  input.setAttribute("aria-invalid", "true");
  input.focus();
}

// --- asking the daemon ------------------------------------------------------------------------

async function ask(body) {
  const options = { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) };
  if (body) {
    options.method = "POST";
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  options.headers = { ...options.headers, Accept: "application/json" };
  const answer = await fetch("api/settings", options).catch(() => null);
  if (!answer) throw new Error("The daemon does not answer.");
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.detail ?? `The daemon answered ${answer.status}.`);
}

async function attempt(work) {
  setText(byId("note"), "");
  complain("");
  try {
    await work();
  } catch (error) {
    byId("changes").close();
    complain(error.message);
  }
}

const load = () => attempt(async () => show(await ask()));

const review = () => attempt(async () => {
  const { difference } = await ask({ version: loaded.version, changes: changes(), preview: true });
  if (!difference) {
    setText(byId("note"), "Nothing would change.");
    return;
  }
  byId("difference").replaceChildren(...lines(difference));
  byId("changes").showModal();
});

const save = () => attempt(async () => {
  byId("save").disabled = true;
  try {
    await ask({ version: loaded.version, changes: changes() });
  } finally {
    byId("save").disabled = false;
  }
  byId("changes").close();
  show(await ask());
  setText(byId("note"), "Saved and in use.");
});

// A unified diff without context, as a list of lines with their numbers in the file.
function lines(difference) {
  let [before, after] = [0, 0];
  const items = [];
  for (const line of difference.trimEnd().split("\n")) {
    const place = /^@@ -(\d+)\S* \+(\d+)/.exec(line);
    if (place) {
      [before, after] = [Number(place[1]), Number(place[2])];
    } else {
      const isNew = line.startsWith("+");
      const item = make("li", "", isNew ? "new" : "old");
      item.append(make("span", `${isNew ? "new" : "old"} line ${isNew ? after++ : before++}`), make("code", line.slice(1)));
      items.push(item);
    }
  }
  return items;
}

form.addEventListener("input", onInput);
form.addEventListener("reset", () => setTimeout(() => {
  complain("");
  onInput();
}));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  review();
});
byId("save").addEventListener("click", save);
byId("cancel").addEventListener("click", () => byId("changes").close());
load();
