// Which words decided: the text with its units coloured, and the same as a list.
import { post } from "./api.js";

const LEVELS = 4;
const LISTED = 12;

// Offsets of the service count code points; JavaScript's count UTF-16 units.
export async function explain(text, within, signal) {
  const body = within ? { text, within, unit: "word" } : { text };
  const found = await post("/v1/explain", body, { signal });
  return { ...found, points: Array.from(text), within };
}

export function show(found, parts, zoom) {
  const { highlight, legend, weights } = parts;
  highlight.replaceChildren(...pieces(found, zoom));
  legend.replaceChildren(sample("f3", `speaks for ${found.label}`), sample("a3", "speaks against it"));
  if (found.unit === "sentence") legend.append(plain("Choose a sentence to see its words."));
  weights.replaceChildren(...listed(found));
}

function pieces(found, zoom) {
  const { points, units, within } = found;
  const strongest = Math.max(0.05, ...units.map((unit) => Math.abs(unit.weight)));
  const made = [];
  let [place, end] = within || [0, points.length];
  for (const unit of units) {
    made.push(points.slice(place, unit.start).join(""), piece(found, unit, strongest, zoom));
    place = unit.end;
  }
  made.push(points.slice(place, end).join(""));
  return made;
}

function piece(found, unit, strongest, zoom) {
  const canZoom = found.unit === "sentence" && zoom;
  const element = document.createElement("span"); // a button would not wrap like text
  const level = Math.round((LEVELS * Math.abs(unit.weight)) / strongest);
  element.className = `unit ${level ? (unit.weight > 0 ? "f" : "a") + level : ""}`;
  element.textContent = unit.text;
  element.title = `${signed(unit.weight)} for ${found.label}`;
  if (canZoom) {
    element.setAttribute("role", "button");
    element.tabIndex = 0;
    element.addEventListener("click", () => zoom([unit.start, unit.end]));
    element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); zoom([unit.start, unit.end]); }
    });
  }
  return element;
}

function listed(found) {
  const ranked = [...found.units].sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight)).slice(0, LISTED);
  return ranked.map((unit) => {
    const item = document.createElement("li");
    const weight = document.createElement("span");
    weight.className = unit.weight > 0 ? "for" : "against";
    weight.textContent = `${signed(unit.weight)} ${unit.weight > 0 ? "for" : "against"} ${found.label}`;
    item.append(`“${shortened(unit.text)}” `, weight);
    return item;
  });
}

function sample(level, words) {
  const mark = document.createElement("span");
  mark.className = `unit ${level}`;
  mark.textContent = "words";
  const item = document.createElement("span");
  item.append(mark, ` ${words}`);
  return item;
}

function plain(words) {
  const item = document.createElement("span");
  item.textContent = words;
  return item;
}

function signed(weight) { return (weight > 0 ? "+" : "−") + Math.abs(weight).toFixed(2); }

function shortened(text) {
  const line = text.replace(/\s+/g, " ");
  return line.length > 80 ? line.slice(0, 80) + "…" : line;
}
