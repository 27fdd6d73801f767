// Against a real server: IBID_SERVER=http://127.0.0.1:8000 npm test

import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { after, before, test } from "node:test";
import { WebSocket as PackageWebSocket } from "ws";
import { RAGWebSocketClient } from "../src/guide.js";
import { Client, IbidError } from "../src/index.js";

const url = process.env.IBID_SERVER ?? "http://127.0.0.1:8000";
const WebSocket = globalThis.WebSocket ?? PackageWebSocket;
const collection = `javascript-${process.pid}`;
const client = new Client(url, { WebSocket });
const text = "# Lighthouses\n\nThe lighthouse at Kullen cost 48,200 riksdaler.\n\n# Ferries\n\nThe ferry to the island leaves at nine.\n";

before(async () => {
  const seen = [];
  const bytes = [];
  const result = await client.upload(new Blob([text], { type: "text/markdown" }), {
    filename: "harbour.md",
    collection,
    onEvent: (type) => seen.push(type),
    onProgress: ({ bytes: sent }) => bytes.push(sent),
  });
  assert.equal(result.status, "success");
  assert.ok(result.document_id && result.chunks_created > 0);
  assert.equal(seen.at(-1), "upload_complete");
  assert.ok(seen.includes("embedding_progress"), seen.join());
  assert.equal(bytes.at(-1), new TextEncoder().encode(text).length);
});

after(async () => {
  await client.request(`/collections/${collection}?confirm=true`, { method: "DELETE" });
  client.close();
});

test("an answer is iterated as it is made, with exact citations", async () => {
  const answer = await client.ask("How much did the lighthouse at Kullen cost?", { collection });
  let joined = "";
  for await (const piece of answer) joined += piece;
  assert.match(joined, /48,200/);
  assert.equal(joined, answer.text);
  assert.equal(answer.complete.status, "completed");
  assert.ok(answer.citations.length > 0);
  for (const { content, char_start, char_end } of answer.citations) {
    assert.equal(Array.from(text).slice(char_start, char_end).join(""), content);
  }
});

test("answers run side by side on one connection", async () => {
  const questions = Array.from({ length: 8 }, (_, n) => (n % 2 ? "When does the ferry leave?" : "How much did the lighthouse at Kullen cost?"));
  const texts = await Promise.all(questions.map(async (question) => (await client.ask(question, { collection })).whole()));
  texts.forEach((whole, n) => assert.match(whole, n % 2 ? /nine/ : /48,200/));
});

test("an aborted signal cancels the query on the server", async () => {
  const abort = new AbortController();
  const answer = await client.ask("How much did the lighthouse at Kullen cost?", { collection, signal: abort.signal });
  abort.abort();
  await answer.whole();
  assert.ok(["cancelled", "completed"].includes(answer.complete.status));
  await assert.rejects(client.ask("Again?", { collection, signal: abort.signal }), { name: "AbortError" });
});

test("leaving the loop cancels", async () => {
  const types = [];
  const done = new Promise((resolve) => {
    client
      .ask("How much did the lighthouse at Kullen cost?", { collection, onEvent: (type) => (types.push(type), type === "complete" && resolve()) })
      .then(async (answer) => {
        for await (const _ of answer) break;
      });
  });
  await done;
  assert.equal(types.at(-1), "complete");
});

test("errors carry the server's code", async () => {
  const answer = await client.ask("Anything?", { collection: "there-is-none" });
  await assert.rejects(answer.whole(), (error) => error instanceof IbidError && error.code === "COLLECTION_NOT_FOUND");
  const invalid = await client.ask("Anything?", { collection, max_results: 1000 });
  await assert.rejects(invalid.whole(), { code: "VALIDATION_ERROR" });
});

test("the same bytes again are told to be there", async () => {
  const again = await client.upload(new Blob([text]), { filename: "harbour.md", collection });
  assert.equal(again.status, "duplicate");
});

test("passages are found without an answer", async () => {
  const { results } = await client.search("ferry", { collection, limit: 1 });
  assert.equal(results.length, 1);
});

test("a lost connection fails what was in flight, and the next question has a new one", async () => {
  const { hostname, port } = new URL(url);
  const peers = new Set();
  const proxy = createServer((near) => {
    const far = connect(Number(port), hostname);
    for (const [a, b] of [[near, far], [far, near]]) {
      peers.add(a);
      a.on("error", () => b.destroy()).on("close", () => b.destroy());
      a.pipe(b);
    }
  });
  await new Promise((ready) => proxy.listen(0, "127.0.0.1", ready));
  const through = new Client(`http://127.0.0.1:${proxy.address().port}`, { WebSocket });
  const first = await through.ask("When does the ferry leave?", { collection, onEvent: () => peers.forEach((peer) => peer.destroy()) });
  await assert.rejects(first.whole(), { code: "CONNECTION_LOST", recoverable: true });
  const second = await through.ask("When does the ferry leave?", { collection });
  assert.match(await second.whole(), /nine/);
  through.close();
  proxy.close();
});

test("the guide's class works on top", async () => {
  const guide = new RAGWebSocketClient(`${url.replace("http", "ws")}/ws/query`, null, { WebSocket });
  const tokens = [];
  const citations = [];
  const completion = await new Promise((resolve) => {
    guide.onToken = (_, token) => tokens.push(token.content);
    guide.onCitation = (_, citation) => citations.push(citation);
    guide.onComplete = (_, data) => resolve(data);
    guide.connect();
    guide.query("When does the ferry leave?", { collection_name: collection, mode: "comprehensive", max_results: 5 });
  });
  assert.match(tokens.join(""), /nine/);
  assert.ok(citations.length > 0);
  assert.equal(completion.status, "completed");
  guide.close();
});
