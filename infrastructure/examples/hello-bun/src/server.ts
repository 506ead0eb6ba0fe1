import { addNote, readNotes } from "./notes";
import { page } from "./page";

const started = performance.now();
const greeting = process.env.GREETING || "Hello from Bakery";
const style = Bun.file("public/style.css");

async function answer(request: Request, path: string): Promise<Response> {
  if (path === "/health") return Response.json({ ok: true });
  if (path === "/style.css") return new Response(style);
  if (path === "/notes" && request.method === "POST") {
    const text = String((await request.formData()).get("text") ?? "").trim();
    if (text) addNote(text);
    return new Response(null, { status: 303, headers: { Location: "/" } });
  }
  if (path === "/") {
    const seconds = Math.round((performance.now() - started) / 1000);
    return new Response(page(greeting, readNotes(), seconds), { headers: { "Content-Type": "text/html; charset=utf-8" } });
  }
  return new Response("There is no such page.\n", { status: 404 });
}

const server = Bun.serve({
  hostname: process.env.HOST ?? "0.0.0.0",
  port: Number(process.env.PORT ?? 3000),
  async fetch(request) {
    const begun = performance.now();
    const path = new URL(request.url).pathname;
    const response = await answer(request, path);
    if (path !== "/health") {
      console.log(`${request.method} ${path} ${response.status} ${(performance.now() - begun).toFixed(1)} ms`);
    }
    return response;
  },
});
console.log(`Listening on port ${server.port}.`);

process.on("SIGTERM", async () => {
  console.log("Asked to stop: finishing what is under way.");
  await server.stop();
  process.exit(0);
});
