// The page where one has to say who one is, with a server that goes away and comes back: `node away.mjs URL TOKEN FILE`. Prints `away` when
// the server is to go, and `back` when it is to return.

import assert from "node:assert/strict";
import { basename } from "node:path";
import { inBrowser, say, see } from "./browser.mjs";

const [url, token, file] = process.argv.slice(2);
/** Bytes a second that the slow connection carries: enough pieces of the file are under way for one to be lost. */
const SLOW = 4 << 20;

await inBrowser(url, async ({ page, context, expected, accessible, go }) => {
  const login = page.locator("#login");
  await see(login);
  await accessible("who are you");
  await login.getByLabel("Token or API key").fill("wrong-token");
  await page.keyboard.press("Enter");
  await see(login.getByText(/does not take|not valid|invalid/i));
  await login.getByLabel("Token or API key").fill(token);
  await page.keyboard.press("Enter");
  await see(page.getByRole("button", { name: "ada: log out" }));
  expected("401", "WebSocket");
  say("a token is asked for, refused, and taken");

  // By keyboard alone, from the top of the page.
  await page.evaluate(() => document.activeElement?.blur());
  await page.keyboard.press("Tab");
  await see(page.getByRole("link", { name: "Skip to content" }));
  for (let presses = 0; presses < 12; presses++) {
    await page.keyboard.press("Tab");
    if ((await page.evaluate(() => document.activeElement.textContent)) === "Documents") break;
  }
  await page.keyboard.press("Enter");
  await see(page.getByRole("heading", { name: "Documents" }));
  say("a section is reached by keyboard");

  await page.getByLabel("Choose files").setInputFiles({ name: "broken.pdf", mimeType: "application/pdf", buffer: Buffer.from("no PDF") });
  const broken = page.locator(".upload", { hasText: "broken.pdf" });
  await see(broken.getByRole("button", { name: "Try again" }));
  const reason = await broken.getByRole("status").innerText();
  assert.match(reason, /\w{3}/);
  await broken.getByRole("button", { name: "Try again" }).click();
  await see(broken.getByRole("button", { name: "Cancel" }).or(broken.getByRole("button", { name: "Try again" })));
  await see(broken.getByRole("button", { name: "Try again" }));
  say("a file that fails says why, and can be tried again");

  const session = await context.newCDPSession(page);
  const network = (offline) => session.send("Network.emulateNetworkConditions", { offline, latency: 0, downloadThroughput: -1, uploadThroughput: SLOW });
  await session.send("Network.enable");
  await network(false);
  await page.getByLabel("Choose files").setInputFiles(file);
  const row = page.locator(".upload", { hasText: basename(file) });
  await see(row.getByText(/^Sending: [1-9]/));
  await network(true);
  await see(row.getByText("The connection is lost"));
  await network(false);
  await see(row.getByText(/^Added: /));
  await session.detach();
  expected("ERR_INTERNET_DISCONNECTED", "WebSocket");
  say("an upload goes on after a lost connection");

  await go("Ask");
  console.log("away");
  await see(page.getByText("The server cannot be reached."));
  console.log("back");
  await see(page.locator(".toast", { hasText: "The server is back." }));
  assert.ok(await page.locator("#banner").isHidden());
  await page.getByLabel("Question").fill("What does the ferry cost?");
  await page.keyboard.press("Enter");
  await see(page.locator(".turn").first().getByText(/^Answered in/));
  assert.match(await page.locator(".turn .answer").first().innerText(), /seventeen/);
  expected("ERR_CONNECTION", "WebSocket", "ERR_INCOMPLETE", "ERR_EMPTY", "Failed to load resource");
  say("the page says that the server is away, comes back with it, and asks on");

  await page.getByRole("button", { name: "ada: log out" }).click();
  await see(login);
  expected("401", "WebSocket");
  say("and one can log out");
});
