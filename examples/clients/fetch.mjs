// A client with fetch and nothing else, for Node 18 or newer, and for pages that the daemon's own host serves: it
// predicts, deploys a file, follows the events until it serves, and tells errors apart.
//
//   [URL=http://127.0.0.1:5000] [MODELDROP_TOKEN=...] node fetch.mjs [FILE.onnx]

const TRIES = 5;
const TIMEOUT_MS = 60_000;

/** An answer other than 200; programs look at `status` and `code`. */
export class Refused extends Error {
  constructor(status, { code, error }) {
    super(`${status} ${code}: ${error}`);
    Object.assign(this, { status, code });
  }
}

/** What a daemon at `url` can be asked; an empty one is the page's own host. */
export class Client {
  constructor(url = "", token = "") {
    this.url = url;
    this.headers = token ? { Authorization: `Bearer ${token}` } : {};
  }

  /** The answer's JSON; comes again where the daemon asks for that. Throws Refused. */
  async ask(path, { headers = {}, ...more } = {}) {
    for (let left = TRIES - 1; ; left -= 1) {
      const wanted = { ...more, headers: { ...this.headers, ...headers }, signal: AbortSignal.timeout(TIMEOUT_MS) };
      const answer = await fetch(this.url + path, wanted);
      const again = answer.status === 503 && answer.headers.get("Retry-After");
      if (!again || left === 0) {
        const told = await answer.json();
        if (answer.status !== 200) throw new Refused(answer.status, told);
        return told;
      }
      await new Promise((resolve) => setTimeout(resolve, 1000 * Number(again)));
    }
  }

  predict(inputs, model = "default") {
    const headers = { "Content-Type": "application/json" };
    return this.ask(`/models/${model}/predict`, { method: "POST", headers, body: JSON.stringify({ inputs }) });
  }

  /** Deploys `bytes`; gives what serves from then on. */
  upload(bytes, filename, model) {
    const headers = { "Content-Type": "application/octet-stream" };
    const path = `/models/${model}/upload?${new URLSearchParams({ filename })}`;
    return this.ask(path, { method: "PUT", headers, body: bytes });
  }

  async lastEvent() {
    return (await this.ask("/events?limit=0")).last;
  }

  /** What happens to `model` after the event `after`, for at most so many `seconds`. */
  async *events(after, model, seconds = 30) {
    const until = Date.now() + 1000 * seconds;
    for (let left = seconds; left > 0; left = (until - Date.now()) / 1000) {
      const query = new URLSearchParams({ after, model, wait: Math.min(left, 10) });
      const told = await this.ask(`/events?${query}`);
      yield* told.events;
      after = told.last;
    }
  }
}

async function show(client, bytes, filename) {
  const model = "by-fetch";
  const row = Array(10).fill(1);
  let answer = await client.predict([row]);
  console.log(`default version ${answer.version}: ${answer.output[0]}`);

  const before = await client.lastEvent();
  const { outcome } = await client.upload(bytes, filename, model);
  if (outcome === "live") {
    for await (const event of client.events(before, model)) {
      if (event.event !== "live") continue;
      console.log(`${model} is live after ${event.seconds.total.toFixed(3)} s`);
      break;
    }
  }
  answer = await client.predict([row, row], model);
  console.log(`${model} version ${answer.version}: ${answer.output[1]}`);

  try {
    await client.predict([[1, 2, 3]]);
    throw new Error("expected an error");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    console.log(`as it should be: ${error.message}`);
  }
}

async function main() {
  const { readFile } = await import("node:fs/promises");
  const { basename } = await import("node:path");
  const { URL: url = "http://127.0.0.1:5000", MODELDROP_TOKEN: token = "" } = process.env;
  const file = process.argv[2] ?? new globalThis.URL("../models/deploy_new.onnx", import.meta.url).pathname;
  await show(new Client(url, token), await readFile(file), basename(file));
}

if (globalThis.process?.argv[1]?.endsWith("fetch.mjs")) {
  main().catch((error) => {
    console.error(`failed: ${error.message}${error.cause ? `: ${error.cause.message}` : ""}`);
    process.exitCode = 1;
  });
}
