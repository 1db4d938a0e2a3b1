// Files: upload, progress, download. The service runs them in the background; this page remembers their ids.
import { apiKey, call, Trouble } from "./api.js";

const TYPES = {
  csv: "text/csv", tsv: "text/tab-separated-values", json: "application/json", jsonl: "application/jsonl",
  ndjson: "application/jsonl", txt: "text/plain", parquet: "application/vnd.apache.parquet",
};
const STORE = "tasks";
const POLL_MS = 1000;
const ENDED = ["done", "failed", "cancelled"];

const list = document.getElementById("tasks");
const drop = document.getElementById("drop");
const input = document.getElementById("file");
const message = document.getElementById("drop-message");

export function start() {
  for (const task of remembered()) watch(task, row(task));
  input.addEventListener("change", () => { [...input.files].forEach(upload); input.value = ""; });
  for (const name of ["dragover", "dragenter"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); [...event.dataTransfer.files].forEach(upload); });
}

async function upload(file) {
  say("");
  const type = TYPES[file.name.split(".").pop().toLowerCase()];
  if (!type) return say(`${file.name}: this kind of file is not read. Take CSV, TSV, JSON, JSON lines or parquet.`);
  if (!file.size) return say(`${file.name} is empty.`);
  drop.setAttribute("aria-busy", "true");
  try {
    const query = new URLSearchParams({ model: model() });
    const answer = await call(`/v1/tasks?${query}`, { method: "POST", headers: { "Content-Type": type }, body: file });
    const { id } = await answer.json();
    const task = { id, name: file.name };
    remember([task, ...remembered()]);
    watch(task, row(task));
  } catch (error) {
    say(`${file.name}: ${error.message}`);
  } finally {
    drop.removeAttribute("aria-busy");
  }
}

function model() {
  const chosen = document.querySelector("input[name=model]:checked").value;
  return chosen === "both" ? "sentiment" : chosen;
}

async function watch(task, parts) {
  for (;;) {
    try {
      const found = await (await call(`/v1/tasks/${task.id}`)).json();
      paint(task, parts, found);
      if (ENDED.includes(found.state)) return;
    } catch (error) {
      if (error.status === 404) return forget(task, parts);
      parts.state.textContent = error.message;
      if (!(error instanceof Trouble) || error.status === 401) return;
    }
    await new Promise((wake) => setTimeout(wake, POLL_MS));
  }
}

function paint(task, parts, found) {
  const total = found.total || 0;
  parts.progress.max = total || 1;
  if (total || ENDED.includes(found.state)) parts.progress.value = found.done || 0;
  parts.progress.hidden = ENDED.includes(found.state);
  parts.state.textContent = words(found, total);
  parts.item.dataset.state = found.state;
  const buttons = [];
  if (found.state === "done" || found.done > 0) buttons.push(button("Download CSV", () => download(task)));
  if (!ENDED.includes(found.state)) buttons.push(button("Cancel", () => end(task, parts)));
  else buttons.push(button("Remove", () => forget(task, parts)));
  if (parts.buttons.childElementCount !== buttons.length || ENDED.includes(found.state)) parts.buttons.replaceChildren(...buttons);
}

function words(found, total) {
  const count = total ? `${number(found.done)} of ${number(total)} texts` : "";
  const errors = found.errors ? `, ${number(found.errors)} refused` : "";
  switch (found.state) {
    case "queued": return found.place > 1 ? `Waiting, number ${found.place} in line` : "Waiting";
    case "running": return `${count}${errors}${found.seconds_left ? `, about ${duration(found.seconds_left)} left` : ""}`;
    case "done": return `Done: ${number(found.done)} texts${errors}`;
    case "cancelled": return `Cancelled after ${number(found.done || 0)} texts`;
    default: return `Failed: ${found.detail || "the service's log says why"}`;
  }
}

async function download(task) {
  const address = `/v1/tasks/${task.id}/results?format=csv&texts=true`;
  const link = document.createElement("a");
  link.download = task.name.replace(/\.\w+$/, "") + ".scored.csv";
  if (!apiKey()) {
    link.href = address;
  } else {
    link.href = URL.createObjectURL(await (await call(address)).blob());
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }
  link.click();
}

async function end(task, parts) {
  try {
    await call(`/v1/tasks/${task.id}`, { method: "DELETE" });
  } catch (error) {
    parts.state.textContent = error.message;
  }
}

function forget(task, parts) {
  remember(remembered().filter((each) => each.id !== task.id));
  parts.item.remove();
}

function row(task) {
  const item = document.createElement("li");
  const name = element("span", "name", task.name);
  const buttons = element("span", "buttons");
  const progress = element("progress");
  progress.setAttribute("aria-label", `Progress of ${task.name}`);
  const state = element("span", "state hint", "Waiting");
  state.setAttribute("role", "status");
  item.append(name, buttons, progress, state);
  list.append(item);
  return { item, buttons, progress, state };
}

function button(words, action) {
  const made = element("button", "quiet", words);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}

function element(tag, classes = "", words = "") {
  const made = document.createElement(tag);
  made.className = classes;
  made.textContent = words;
  return made;
}

function say(words) { message.textContent = words; message.hidden = !words; }
function number(value) { return Number(value || 0).toLocaleString("en"); }
function duration(seconds) {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
function remembered() {
  try { return JSON.parse(localStorage.getItem(STORE)) || []; } catch { return []; }
}
function remember(tasks) { localStorage.setItem(STORE, JSON.stringify(tasks.slice(0, 20))); }
