// Drives the page in a real browser against the server at argv[2]: `node page.mjs URL PLUGIN FILES...`. Prints a line for each thing seen; ends
// with an error, and its reason, at the first that is not as it must be.

import assert from "node:assert/strict";
import { basename } from "node:path";
import { inBrowser, say, see } from "./browser.mjs";

const [url, plugin, ...files] = process.argv.slice(2);

await inBrowser(url, async ({ page, expected, shot, accessible, go }) => {
  await see(page.getByRole("heading", { name: "Answers with sources" }));
  await accessible("ask, empty");

  await go("Documents");
  await page.getByLabel("Choose files").setInputFiles(files);
  for (const file of files) {
    const row = page.locator(".upload", { hasText: basename(file) });
    await see(row.getByText(/^Added: /));
  }
  say("files are uploaded, with their progress, and end as added");
  for (const file of files) await see(page.locator("tbody tr", { hasText: basename(file) }).getByText("ready"));
  await page.getByLabel("Choose files").setInputFiles(files[0]);
  await see(page.locator(".upload").first().getByText("In the collection already."));
  say("the same file again is told to be there");
  await page.getByLabel("Find by name").fill(basename(files[0]).slice(0, 5));
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  await page.getByLabel("Find by name").fill("");
  await accessible("documents");

  await go("Ask");
  await page.getByLabel("Question").fill("How much did the lighthouse at Kullen cost?");
  await page.keyboard.press("Enter");
  const turn = page.locator(".turn").first();
  await see(turn.getByText(/^Answered in/));
  const answer = await turn.locator(".answer").innerText();
  assert.match(answer, /48,200/, answer);
  const marker = turn.locator(".answer .cite > button").first();
  await marker.hover();
  await see(turn.locator(".quote"));
  assert.match(await turn.locator(".quote").first().innerText(), /lighthouse/);
  say("an answer streams in, and hovering a marker shows the quotation");
  await marker.click();
  await see(page.locator("aside.source mark"));
  const marked = await page.locator("aside.source mark").innerText();
  const quoted = await turn.locator("blockquote").first().innerText();
  assert.equal(marked.replace(/\s+/g, " "), quoted.replace(/\s+/g, " "));
  say("clicking it shows the passage, marked, in the document");
  await accessible("ask, with an answer and its source");
  await shot("ask");
  const pageTab = page.getByRole("button", { name: /^Page \d+$/ });
  if (await pageTab.count()) {
    await pageTab.click();
    const source = await page.locator("aside.source iframe").getAttribute("src");
    assert.match(source, /#page=\d+/);
    say("the page opens in the browser's own viewer");
  }
  await page.getByRole("button", { name: "Close the source" }).click();
  assert.equal(await page.locator("aside.source").count(), 0);
  await turn.getByRole("button", { name: "Copy with sources" }).click();
  await see(page.locator(".toast", { hasText: "Copied" }));
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /\[1\] /);
  say("an answer is copied with its sources");
  await turn.locator("summary").click();
  await see(turn.getByText("Understood as"));

  await go("Collections");
  const card = page.locator('[data-collection="documents"]');
  await see(card);
  assert.match(await card.locator(".stats").innerText(), new RegExp(`Documents\\s+${files.length}`));
  await card.locator("summary").click();
  await see(card.getByRole("heading", { name: "Chunker" }));
  await card.getByRole("button", { name: "Change the pipeline of documents" }).click();
  const editor = page.getByRole("form", { name: "Pipeline of documents" });
  const tokens = editor.getByLabel("Tokens in a full chunk");
  assert.equal(await tokens.inputValue(), "200");
  await tokens.fill("64");
  await see(editor.getByText(/documents? of .* chunks would be chunked and embedded anew/));
  await editor.getByLabel("Tokens of overlap").fill("5000");
  await see(editor.getByText("A value is out of its range."));
  assert.ok(await editor.getByRole("button", { name: "Change it" }).isDisabled());
  say("a pipeline is checked as one types, and what a change takes is told");
  await accessible("a pipeline's form");
  const chunks = async () => Number((await card.locator(".stats").innerText()).match(/Chunks\s+(\d+)/)[1]);
  const before = await chunks();
  await tokens.fill("16");
  await editor.getByLabel("Tokens of overlap").fill("0");
  await see(editor.getByText("chunked and embedded anew"));
  await editor.getByRole("button", { name: "Change it" }).click();
  await editor.waitFor({ state: "detached" });
  await page.waitForFunction(([element, few]) => Number(element.textContent.match(/Chunks(\d+)/)?.[1]) > few, [await card.elementHandle(), before]);
  await see(card.getByText("target tokens: 16"));
  say("documents are made anew, while the counts move");
  await card.getByRole("button", { name: "Change the pipeline of documents" }).click();
  await editor.getByLabel("Passages of questions that do not say").fill("7");
  await see(editor.getByText("nothing has to be made anew"));
  await editor.getByRole("button", { name: "Change it" }).click();
  await see(card.getByText("7 passages"));
  say("and changed");
  await page.getByText("New collection").click();
  await page.getByLabel("Name", { exact: true }).fill("from-the-page");
  await page.locator("#new-chunker").selectOption({ label: await page.locator("#new-chunker option", { hasText: "sentences" }).first().innerText() });
  await see(page.locator("fieldset", { hasText: "Chunker" }).locator(".fields .field"));
  await page.getByRole("button", { name: "Make it" }).click();
  await see(page.locator('[data-collection="from-the-page"]'));
  say("a collection is made with a plugin chosen and set up in a form");
  await accessible("collections");
  await shot("collections");
  const made = page.locator('[data-collection="from-the-page"]');
  await made.getByRole("button", { name: /^Delete the collection/ }).click();
  await page.getByRole("button", { name: "Delete all of it" }).click();
  await made.waitFor({ state: "detached" });
  say("and deleted");
  await page.locator("#collection").selectOption("documents");

  await go("Monitor");
  await see(page.locator(".services .state", { hasText: "healthy" }));
  await page.waitForFunction(() => document.querySelector(".chart output")?.textContent.includes("%"));
  const shows = (name) => page.locator("figure.chart", { hasText: name }).locator("output");
  await page.waitForFunction((element) => /[MG]B/.test(element.textContent), await shows("Memory of the server").elementHandle());
  assert.match(await shows("95 % of the answers within").innerText(), /ms|s/);
  say("the monitor shows the load, percentiles, memory and the services");
  await accessible("monitor");
  await page.waitForFunction(() => document.querySelector(".chart polyline").getAttribute("points").split(" ").length > 2);
  await shot("monitor");

  await go("Plugins");
  const recursive = page.getByRole("region", { name: /^recursive@/ });
  await see(recursive);
  await recursive.locator("summary").click();
  await see(recursive.getByText("sha256:"));
  await page.getByRole("button", { name: /^Try recursive@/ }).click();
  const playground = page.getByRole("form", { name: "Playground of recursive" });
  const pasted = "Ein Haus. \u{1f3e0} Zwei Häuser stehen am Fluss. ".repeat(30);
  await playground.getByRole("textbox").first().fill(pasted);
  await playground.getByText("Settings").click();
  await playground.getByLabel("Tokens in a full chunk").fill("32");
  await playground.getByRole("button", { name: "Run" }).click();
  await see(playground.locator(".chunk.odd"));
  assert.equal(await playground.locator(".chunked").evaluate((element) => element.textContent), pasted);
  const first = await playground.locator("blockquote").first().evaluate((element) => element.textContent);
  assert.ok(pasted.startsWith(first), first);
  say("a chunker is tried on a pasted text, and its chunks are coloured over it");
  await accessible("a playground");
  await page.getByRole("button", { name: /^Try recursive@/ }).click();
  await page.getByRole("button", { name: /^Try rules@/ }).click();
  const asked = page.getByRole("form", { name: "Playground of rules" });
  await asked.getByRole("button", { name: "Run" }).click();
  await see(asked.getByRole("heading", { name: "Searches" }));
  await page.getByRole("button", { name: /^Try rules@/ }).click();
  say("and an analyzer on a question");
  await page.getByLabel("Choose a file").setInputFiles({ name: "no.wasm", mimeType: "application/wasm", buffer: Buffer.from("no component") });
  await see(page.getByRole("alert").filter({ hasText: "no.wasm" }));
  expected("422", "400");
  say("plugins are listed, and what is none is refused with its reason");
  await page.getByLabel("Choose a file").setInputFiles(plugin);
  const subtitles = page.getByRole("region", { name: /^subtitles@/ });
  await see(subtitles.getByText("installed, 0 calls"));
  await go("Documents");
  const film = { name: "film.vtt", mimeType: "text/vtt", buffer: Buffer.from("WEBVTT\n\n00:00:01.000 --> 00:00:04.000\n<v Ada>The keeper of the lighthouse sings at midnight.\n") };
  await page.getByLabel("Choose files").setInputFiles(film);
  await see(page.locator(".upload", { hasText: "film.vtt" }).getByText(/^Added: /));
  await go("Ask");
  await page.getByLabel("Question").fill("When does the keeper of the lighthouse sing?");
  await page.keyboard.press("Enter");
  const sung = page.locator(".turn", { hasText: "When does the keeper" });
  await see(sung.getByText(/^Answered in/));
  assert.match(await sung.locator(".answer").innerText(), /midnight/);
  await go("Plugins");
  await see(subtitles.getByText("installed, 1 call"));
  say("an outsider's plugin is installed, reads a file of its kind, and its calls are counted");
  await accessible("plugins");

  await go("Documents");
  const gone = page.locator("tbody tr", { hasText: basename(files[0]) });
  await gone.getByRole("button", { name: /^Delete/ }).click();
  await page.locator("#confirm").getByRole("button", { name: "Delete", exact: true }).click();
  await see(page.locator(".toast", { hasText: /Deleted .* chunks?/ }));
  await gone.waitFor({ state: "detached" });
  say("a document is deleted, with a receipt");

  await page.setViewportSize({ width: 360, height: 700 });
  for (const section of ["Ask", "Documents", "Collections", "Monitor", "Plugins"]) {
    await go(section);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wide <= 0, `${section} is ${wide} px wider than a phone`);
  }
  say("every section fits a phone");
  await page.emulateMedia({ colorScheme: "dark" });
  await accessible("plugins, dark, on a phone");
});
