// The pictures of the README: `tests/browser/run pictures` takes them anew.
import { execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { SEAWALL, assert, atEnd, check, folder, seawall, sleep, until } from "./harness.mjs";

const DOCS = "docs";
/** Size of the terminal in docs/top.png, in characters. */
const [COLUMNS, LINES] = [108, 27];

export async function renewPictures(open, edge) {
  await check("docs/top.png", () => top(open));

  await check("docs/demo.png", async () => {
    const { page, context } = await open({ viewport: { width: 1280, height: 1440 } });
    await page.goto(`https://${edge.https}/`);
    // Until there is something in the charts.
    await sleep(32_000);
    await page.screenshot({ path: join(DOCS, "demo.png"), animations: "disabled" });
    await context.close();
  });

  await check("docs/error.png", async () => {
    const broken = await seawall("--origin", "http://127.0.0.1:9");
    const { page, context } = await open({ viewport: { width: 1280, height: 880 } });
    const response = await page.goto(`https://www.example.test:${broken.https.split(":").pop()}/`);
    assert(response.status() === 521, `status ${response.status()}`);
    await page.screenshot({ path: join(DOCS, "error.png"), animations: "disabled" });
    await context.close();
  });
}

/** `seawall top` in tmux, over some zones with traffic, one of them with a dead origin. */
async function top(open) {
  const dir = folder();
  const origins = [];
  for (let i = 0; i < 3; i += 1) {
    const child = spawn(SEAWALL, ["demo-origin", "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "ignore"] });
    atEnd(() => child.kill("SIGKILL"));
    let said = "";
    child.stdout.on("data", (bytes) => { said += bytes; });
    origins.push(await until("an origin", 5000, () => said.match(/http:\/\/[\d.:]+/)?.[0]));
  }
  const origin = (name, i) => `{ name = "${name}", url = "${origins[i]}" }`;
  const monitor = `[zone.pool.monitor]\npath = "/api/time"\ninterval = "500ms"\ntimeout = "500ms"\nhealthy = 1`;
  const config = join(dir, "seawall.toml");
  writeFileSync(config, `
[[zone]]
name = "example.com"
[[zone.pool]]
name = "app"
origins = [${origin("north", 0)}, ${origin("south", 1)}, { name = "west", url = "http://127.0.0.1:9" }]
${monitor}
[[zone]]
name = "shop.example"
[[zone.pool]]
name = "web"
origins = [${origin("one", 2)}]
${monitor}
[[zone]]
name = "docs.example"
[[zone.pool]]
name = "pages"
origins = [${origin("one", 1)}]
`);
  const edge = await seawall("--config", config);
  const load = traffic(Number(edge.http.split(":").pop()));
  atEnd(load.stop);
  const tmux = (...args) => execFileSync("tmux", ["-L", `seawall-${process.pid}`, ...args], { encoding: "utf8" });
  tmux("-f", "/dev/null", "new-session", "-d", "-x", String(COLUMNS), "-y", String(LINES), `'${SEAWALL}' top --data-dir '${edge.data}' --interval-ms 250`);
  atEnd(() => tmux("kill-server"));
  await sleep(28_000);
  const screen = tmux("capture-pane", "-e", "-p");
  load.stop();
  const { page, context } = await open({ viewport: { width: 1000, height: 700 }, deviceScaleFactor: 1.5 });
  await page.setContent(`<body style="margin:0"><pre style="display:inline-block;margin:0;padding:16px 20px;background:#10181e;color:#d7e1e6;font:14px/16px 'DejaVu Sans Mono',monospace">${markup(screen)}</pre>`);
  await page.locator("pre").screenshot({ path: join(DOCS, "top.png") });
  await context.close();
}

/** Requests to all zones at a rate that goes up and down. */
function traffic(port) {
  const agent = new Agent({ keepAlive: true, maxSockets: 24 });
  const asks = [
    ["example.com", ["/static/site.css", "/static/site.js", "/api/time", "/static/mark.svg", "/cached", "/headers"]],
    ["shop.example", ["/api/time", "/static/site.css", "/status/404", "/large?mb=1", "/cached"]],
    ["docs.example", ["/cached", "/static/mark.svg", "/"]],
  ];
  let count = 0;
  const ask = (host, path) => {
    const sent = request({ agent, host: "127.0.0.1", port, path, headers: { Host: host, "Accept-Encoding": "gzip" } }, (answer) => answer.resume());
    sent.on("error", () => {});
    sent.end();
  };
  const timer = setInterval(() => {
    const waves = 6 + 4 * Math.sin(count / 60) + 3 * Math.random();
    for (let i = 0; i < waves; i += 1) {
      count += 1;
      const [host, paths] = asks[[0, 0, 0, 1, 1, 2][count % 6]];
      ask(host, paths[Math.floor(Math.random() * paths.length)]);
    }
    if (count % 90 < 8) ask("shop.example", "/status/500");
  }, 25);
  return { stop: () => { clearInterval(timer); agent.destroy(); } };
}

/** Red, green, yellow and cyan, by their numbers in a terminal. */
const COLOURS = { 1: "#ff8a80", 2: "#6ddb9c", 3: "#f3c86a", 6: "#58c4dd" };

/** Terminal output as markup: bold, dim and four colours is all `seawall top` uses. */
function markup(text) {
  let bold = false, dim = false, colour;
  return text.trimEnd().split(/\x1b\[([\d;]*)m/).map((part, i) => {
    if (i % 2 === 0) {
      const safe = part.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);
      return `<span style="${bold ? "font-weight:bold;" : ""}${dim ? "opacity:.6;" : ""}${colour ? `color:${colour}` : ""}">${safe}</span>`;
    }
    // `38;5;N` is the same colour as `3N`, below 8.
    for (const code of (part || "0").replace(/\b38;5;([0-7])\b/g, "3$1").split(";").map(Number)) {
      if (code === 0) [bold, dim, colour] = [false, false, undefined];
      else if (code === 1) bold = true;
      else if (code === 2) dim = true;
      else if (code === 22) [bold, dim] = [false, false];
      else if (code === 39) colour = undefined;
      else if (COLOURS[code - 30]) colour = COLOURS[code - 30];
    }
    return "";
  }).join("");
}
