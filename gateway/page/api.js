// Calls of the service. Every failure is a Trouble: what to tell a person, and when to come back.

export class Trouble extends Error {
  constructor(message, status = 0, retryAfter = 0, kind = "") {
    super(message);
    Object.assign(this, { status, retryAfter, kind });
  }
  get busy() { return this.status === 429 || (this.status === 503 && this.kind === "busy"); }
  get down() { return this.status === 0 || this.status === 502 || (this.status === 503 && this.kind !== "busy"); }
}

export function apiKey() { return sessionStorage.getItem("api-key") || ""; }

// With ?trace in its address the page asks for a trace of each request.
const traced = new URLSearchParams(location.search).has("trace");

function traceparent() {
  const hex = (count) => [...crypto.getRandomValues(new Uint8Array(count))]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `00-${hex(16)}-${hex(8)}-01`;
}

export async function call(path, options = {}) {
  const headers = new Headers(options.headers);
  if (apiKey()) headers.set("Authorization", `Bearer ${apiKey()}`);
  if (traced) headers.set("traceparent", traceparent());
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("The service does not answer. Is it running?");
  }
  if (!answer.ok) throw await trouble(answer);
  return answer;
}

export async function post(path, body, options = {}) {
  const answer = await call(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), ...options,
  });
  return answer.json();
}

async function trouble(answer) {
  const problem = await answer.json().catch(() => ({}));
  const kind = (problem.type || "").split("#")[1] || "";
  const wait = Number(answer.headers.get("Retry-After")) || 0;
  return new Trouble(problem.detail || `The service answered with status ${answer.status}.`, answer.status, wait, kind);
}
