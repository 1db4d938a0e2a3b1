// The request that was just made, as a line for a shell and as Python.
export function snippet(language, text, model) {
  return language === "curl" ? curl(text, model) : python(text, model);
}

function curl(text, model) {
  const body = JSON.stringify({ text, model }).replaceAll("'", "'\\''");
  return `curl ${location.origin}/v1/classify --json '${body}'`;
}

function python(text, model) {
  return `import requests

answer = requests.post(
    "${location.origin}/v1/classify",
    json={"text": ${JSON.stringify(text)}, "model": "${model}"},
    timeout=60,
)
answer.raise_for_status()
print(answer.json()[0]["label"])`;
}
