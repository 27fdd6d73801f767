// A real browser with one page open, and what the tests of the page share.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PATIENCE = 120_000;

export const say = (what) => console.log(`ok ${what}`);
export const see = (locator) => locator.first().waitFor({ state: "visible" });

/** Runs `script` with a page on the server at `url`. Fails with what it throws, on requests to other servers, and on errors in the console but for those that it has taken out of `wrong`. */
export async function inBrowser(url, script) {
  const shots = process.env.IBID_SHOTS;
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, bypassCSP: false });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const wrong = [];
  const foreign = [];
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  page.on("request", (request) => {
    const target = new URL(request.url());
    if (target.origin !== new URL(url).origin && !["blob:", "data:"].includes(target.protocol)) foreign.push(request.url());
  });
  const tools = {
    page,
    context,
    wrong,
    /** Errors that are meant to come: they are no longer wrong. */
    expected: (...words) => wrong.splice(0, wrong.length, ...wrong.filter((text) => !words.some((word) => text.includes(word)))),
    shot: async (name) => {
      if (!shots) return;
      await page.evaluate(() => {
        scrollTo(0, 0);
        document.getElementById("toasts").replaceChildren();
      });
      await page.screenshot({ path: `${shots}/${name}.png` });
    },
    accessible: (where) => accessible(context, page, where),
    go: async (section) => {
      await page.getByRole("navigation").getByRole("link", { name: section }).click();
      await see(page.getByRole("navigation").locator(`a[aria-current="page"]:text("${section}")`));
    },
  };
  try {
    await page.goto(url);
    await script(tools);
    assert.deepEqual(foreign, [], "requests to other servers");
    assert.deepEqual(wrong, [], "errors in the console");
  } catch (error) {
    if (shots) await page.screenshot({ path: `${shots}/failure.png` }).catch(() => {});
    console.error(error);
    console.error("console:", wrong);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}

/** Nothing that axe calls serious or critical. It runs in a world of its own: the page's policy admits no foreign script. */
async function accessible(context, page, where) {
  const session = await context.newCDPSession(page);
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId: contextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id, worldName: "axe" });
  await session.send("Runtime.evaluate", { expression: axe, contextId });
  const { result, exceptionDetails } = await session.send("Runtime.evaluate", {
    expression: "axe.run(document, { resultTypes: ['violations'] }).then((r) => JSON.stringify(r.violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.map((n) => n.html) }))))",
    awaitPromise: true,
    contextId,
  });
  assert.equal(exceptionDetails, undefined, JSON.stringify(exceptionDetails));
  const bad = JSON.parse(result.value).filter(({ impact }) => impact === "serious" || impact === "critical");
  assert.deepEqual(bad, [], `axe on ${where}`);
  await session.detach();
  say(`accessible: ${where}`);
}
