// Compiled, never run: the declarations say what the code does.
import { Client, IbidError, type Citation } from "../src/index.js";

export async function typed(): Promise<Citation[]> {
  const client = new Client("http://127.0.0.1:8000", { token: "t" });
  const answer = await client.ask("?", { collection: "c", mode: "speed", signal: AbortSignal.timeout(1000) });
  for await (const piece of answer) piece.toUpperCase();
  const { document_id, status } = await client.upload(new Blob(["x"]), { filename: "x.md" });
  if (status === "duplicate") throw new IbidError("X", document_id);
  return answer.citations;
}
