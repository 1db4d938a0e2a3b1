// The form, the answer, and the states between them.
import { call, post, Trouble } from "./api.js";
import { explain, show } from "./explain.js";
import { snippet } from "./snippets.js";
import { start as startTasks } from "./tasks.js";

const EXAMPLES = [
  "A warm, funny and clever film. The cast is wonderful, and the last half hour is as good as anything this year.",
  "Dull, badly acted and far too long. I looked at my watch twice before the first hour was over.",
  "The photography is beautiful and the music moving, but the story makes no sense and the ending is a disappointment.",
];
const LOOK_AGAIN_MS = 5000;
const $ = (id) => document.getElementById(id);
const form = $("ask"), text = $("text"), go = $("go"), results = $("results");
let running = null; // the AbortController of the request under way
let shown = null; // {text, model} of the answer on display
let language = "curl";

startTheme();
startTasks();
startStatus();
for (const chip of document.querySelectorAll("[data-example]")) {
  chip.addEventListener("click", () => { text.value = EXAMPLES[chip.dataset.example]; counted(); submit(); });
}
text.addEventListener("input", counted);
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); submit(); }
});
form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
$("key").addEventListener("change", () => { sessionStorage.setItem("api-key", $("key").value.trim()); look(); });
$("zoomout").addEventListener("click", () => why(shown.text));
startTabs();
counted();

function counted() {
  const length = Array.from(text.value).length;
  $("count").textContent = `${length.toLocaleString("en")} character${length === 1 ? "" : "s"}`;
}

async function submit() {
  if (!text.value.trim()) { say("Type or paste a text first."); text.focus(); return; }
  say("");
  running?.abort();
  const mine = (running = new AbortController());
  busy(true);
  const asked = text.value;
  try {
    const chosen = document.querySelector("input[name=model]:checked").value;
    const names = chosen === "both" ? ["sentiment", "sentiment_fast"] : [chosen];
    const answers = [];
    for (const name of names) answers.push(await timed(asked, name, mine.signal)); // in turn, for honest times
    shown = { text: asked, model: names[0] };
    render(answers);
    status("ready", "Ready");
    await why(asked, null, mine.signal);
  } catch (error) {
    if (error.name !== "AbortError") failed(error);
  } finally {
    if (mine === running) busy(false);
  }
}

async function timed(asked, model, signal) {
  const began = performance.now();
  const [answer] = await post("/v1/classify", { text: asked, model }, { signal });
  return { ...answer, model, ms: performance.now() - began };
}

function failed(error) {
  const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  if (error instanceof Trouble && error.status === 401) $("keyrow").hidden = false;
  if (error instanceof Trouble && error.busy) {
    status("busy", "Busy");
    say(`${error.message}${wait}`);
  } else if (error instanceof Trouble && error.down) {
    status("down", "Not available");
    say(`${error.message} This page looks again by itself.`);
  } else {
    say(error.message);
  }
}

function render(answers) {
  $("placeholder").hidden = true;
  results.hidden = false;
  results.className = answers.length > 1 ? "results two" : "results";
  results.replaceChildren(...answers.map(verdict));
  if (answers.length > 1) results.after(comparison(answers)); else document.querySelector(".note")?.remove();
  $("code").hidden = false;
  showSnippet();
}

function verdict(answer) {
  const names = { sentiment: "Accurate, fp32", sentiment_fast: "Fast, int8" };
  const block = element("div");
  const head = element("p", "verdict");
  head.append(element("strong", "", decision(answer)), element("span", "", names[answer.model] || answer.model));
  const bars = element("dl", "bars");
  const row = answer.values ? number : bar;
  bars.append(...Object.entries(scores(answer)).slice(0, 8).map(([label, value]) => row(label, value)));
  const facts = element("ul", "facts");
  facts.append(fact(answer.num_tokens, "tokens"), fact(`${answer.ms.toFixed(0)} ms`, "round trip"));
  if (answer.num_windows > 1) facts.append(fact(answer.num_windows, "windows"));
  facts.append(element("li", "", answer.truncated ? "The end was cut off" : "Read whole"));
  block.append(head, bars, facts);
  return block;
}

function scores(answer) { return answer.values || answer.probabilities; }

function decision(answer) {
  if (answer.labels) return answer.labels.join(", ") || "No label";
  return answer.values ? `${answer.label}: ${rounded(answer.score)}` : answer.label;
}

function rounded(value) { return Number(value.toPrecision(4)).toString(); }

function number(label, value) {
  const row = element("div");
  row.append(element("dt", "", label), element("dd"), element("dd", "value", rounded(value)));
  return row;
}

function bar(label, value) {
  const row = element("div");
  const meter = element("div", "meter");
  const attributes = { role: "meter", "aria-label": `Probability of ${label}`, "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": value.toFixed(4), "aria-valuetext": percent(value) };
  for (const [name, each] of Object.entries(attributes)) meter.setAttribute(name, each);
  const fill = element("span");
  fill.style.width = `${100 * value}%`;
  meter.append(fill);
  const middle = element("dd");
  middle.append(meter);
  row.append(element("dt", "", label), middle, element("dd", "value", percent(value)));
  return row;
}

function percent(value) {
  return value > 0.9995 && value < 1 ? ">99.9%" : value > 0 && value < 0.0005 ? "<0.1%" : `${(100 * value).toFixed(1)}%`;
}

function comparison([first, second]) {
  document.querySelector(".note")?.remove();
  const [left, right] = [scores(first), scores(second)];
  const difference = Math.max(...Object.keys(left).map((label) => Math.abs(left[label] - (right[label] ?? 0))));
  if (first.values) return element("p", "note", `Their values differ by ${rounded(difference)} at most.`);
  const agree = decision(first) === decision(second) ? "Both give the same label" : "They disagree";
  return element("p", "note", `${agree}; their probabilities differ by ${(100 * difference).toFixed(2)} points.`);
}

async function why(asked, within = null, signal = undefined) {
  try {
    const found = await explain(asked, within, signal);
    const zoom = within ? null : (span) => why(asked, span);
    show(found, { highlight: $("highlight"), legend: $("legend"), weights: $("weights") }, zoom);
    $("zoomout").hidden = !within;
    $("why").hidden = found.units.length === 0;
    if (within) $("zoomout").focus();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    $("why").hidden = true;
    if (error instanceof Trouble && error.busy) say("The label is there; the server is too busy to say which words decided.");
  }
}

function showSnippet() { if (shown) $("snippet").textContent = snippet(language, shown.text, shown.model); }

function startTabs() {
  const tabs = [$("tab-curl"), $("tab-python")];
  const choose = (tab) => {
    for (const each of tabs) { each.setAttribute("aria-selected", each === tab); each.tabIndex = each === tab ? 0 : -1; }
    language = tab.id.slice(4);
    $("snippet").setAttribute("aria-labelledby", tab.id);
    showSnippet();
  };
  tabs.forEach((tab, place) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      const other = tabs[1 - place];
      other.focus();
      choose(other);
    });
  });
  $("copy").addEventListener("click", async () => {
    await copied($("snippet"));
    $("copy").textContent = "Copied";
    setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
  });
}

async function copied(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch { // no clipboard without HTTPS, except on this machine
    getSelection().selectAllChildren(source);
    document.execCommand("copy");
    getSelection().removeAllRanges();
  }
}

function startTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => { document.documentElement.dataset.theme = localStorage.getItem("theme") || (dark.matches ? "dark" : "light"); };
  dark.addEventListener("change", apply);
  $("theme").addEventListener("click", () => {
    localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    apply();
  });
  apply();
}

function startStatus() {
  look();
  setInterval(() => { if (!document.hidden && $("status").classList.contains("down")) look(); }, LOOK_AGAIN_MS);
}

async function look() {
  try {
    await call("/readyz");
    if ($("status").classList.contains("down")) say("");
    status("ready", "Ready");
    const { models } = await (await call("/v1/models")).json();
    offered(models.filter((model) => model.ready).map((model) => model.name));
  } catch (error) {
    if (error.status === 401) { $("keyrow").hidden = false; return; }
    status("down", "Not available");
    say(`${error.message} This page looks again by itself.`);
  }
}

function offered(names) {
  for (const input of document.querySelectorAll("input[name=model]")) {
    const needed = input.value === "both" ? ["sentiment", "sentiment_fast"] : [input.value];
    input.disabled = !needed.every((name) => names.includes(name));
  }
}

function busy(state) { go.setAttribute("aria-busy", state); go.textContent = state ? "Classifying" : "Classify"; }

function status(kind, words) {
  $("status").className = `status ${kind}`;
  if ($("status").lastElementChild.textContent !== words) $("status").lastElementChild.textContent = words;
}

function say(words) {
  $("message").textContent = words;
  $("message").hidden = !words;
}

function element(tag, classes = "", words = "") {
  const made = document.createElement(tag);
  made.className = classes;
  made.textContent = words;
  return made;
}

function fact(value, words) {
  const item = element("li");
  item.append(element("b", "", String(value)), ` ${words}`);
  return item;
}
