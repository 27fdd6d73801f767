// Requests to the server, and who makes them.

const KEY = "ibid.token";
let asking = null;

/** What the server said no with: `{code, message, details}` and the HTTP status. */
export class ApiFailure extends Error {
  constructor(status, error) {
    super(error?.message ?? `The server answered ${status}.`);
    this.status = status;
    this.code = error?.code ?? "UNKNOWN";
    this.details = error?.details ?? {};
  }
}

export const token = () => sessionStorage.getItem(KEY);

export function forget() {
  sessionStorage.removeItem(KEY);
  dispatchEvent(new Event("ibid:identity"));
}

/** Header fields that say who asks. */
export function credentials() {
  return token() ? { authorization: `Bearer ${token()}` } : {};
}

/** Asks for a token; several that ask at a time get one dialog. Resolves to whether one was given. */
export function login(why) {
  asking ??= new Promise((done) => {
    const dialog = document.getElementById("login");
    const input = document.getElementById("login-token");
    document.getElementById("login-why").textContent = why;
    input.value = "";
    dialog.returnValue = "cancel";
    document.getElementById("login-cancel").onclick = () => dialog.close("cancel");
    dialog.showModal();
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "ok" && input.value.trim();
      if (given) sessionStorage.setItem(KEY, given);
      input.value = "";
      asking = null;
      if (given) dispatchEvent(new Event("ibid:identity"));
      done(Boolean(given));
    }, { once: true });
  });
  return asking;
}

/** `fetch` with credentials; asks for them where they are missing. */
export async function send(path, options = {}) {
  for (;;) {
    const response = await fetch(path, { ...options, headers: { ...credentials(), ...options.headers } });
    if (response.status !== 401) return response;
    const why = token() ? "The server does not take this token any more." : "This server asks for a token or an API key.";
    if (!(await login(why))) return response;
  }
}

/** The JSON of an answer, or an `ApiFailure`. */
export async function api(path, { json, ...options } = {}) {
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.method ??= "POST";
    options.headers = { "content-type": "application/json", ...options.headers };
  }
  const response = await send(path, options);
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new ApiFailure(response.status, body?.error);
  return body;
}

/** Server-sent events of a long answer, as `[event, data]`. Unlike `EventSource` it can say who asks. */
export async function* events(path, options = {}) {
  const response = await send(path, options);
  if (!response.ok) throw new ApiFailure(response.status, (await response.json().catch(() => null))?.error);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      const of = (field) => lines.filter((line) => line.startsWith(field)).map((line) => line.slice(field.length).trim()).join("\n");
      if (of("data:")) yield [of("event:") || "message", JSON.parse(of("data:"))];
    }
  }
}
