// The demo site in a real browser, through the edge.
import { createRequire } from "node:module";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { assert, atEnd, check, equal, finish, folder, roleOf, seawall, sleep, until } from "./harness.mjs";
import { PHONE, WIDE, fitsItsWidth, focusOrder, isReadable, picture } from "./looks.mjs";
import { withBrokenOrigins } from "./faults.mjs";
import { renewPictures } from "./pictures.mjs";

const { chromium } = createRequire(resolve("target/browser-tests/package.json"))("playwright-core");
/** The longest one check may take, in milliseconds. */
const STEP_MS = 15_000;
const PAGES = ["/", "/cached", "/ws", "/upload", "/headers", "/errors", "/slow?s=0", "/status/404"];

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--host-resolver-rules=MAP *.test 127.0.0.1"],
});
atEnd(() => browser.close());

/** A page of its own browser profile, with everything it complains about kept in `complaints`. */
async function open(options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: WIDE, ...options });
  context.setDefaultTimeout(STEP_MS);
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${message.text()} ${message.location().url}`);
  });
  page.on("requestfailed", (request) => {
    // Leaving a page ends its streams; that is no fault.
    if (request.failure()?.errorText !== "net::ERR_ABORTED") complaints.push(`${request.url()} ${request.failure()?.errorText}`);
  });
  return { page, context, complaints };
}

/** What the browser's own network layer says of each answer, by path. */
async function network(page) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Network.enable");
  const answers = new Map(), sockets = [];
  cdp.on("Network.responseReceived", ({ response }) => {
    const url = new URL(response.url);
    const fields = Object.fromEntries(Object.entries(response.headers).map(([n, v]) => [n.toLowerCase(), v]));
    if (url.protocol.startsWith("http")) answers.set(url.pathname, { ...response, fields });
  });
  cdp.on("Network.webSocketHandshakeResponseReceived", ({ response }) => sockets.push(response));
  return { cdp, answers, sockets };
}

const edge = await seawall("--demo");
const secure = `https://${edge.https}`;

const { page, context, complaints } = await open();
const seen = await network(page);

await check("the demo site comes over TLS 1.3 and HTTP/2", async () => {
  const response = await page.goto(`${secure}/`);
  equal(response.status(), 200, "status");
  equal((await response.securityDetails()).protocol, "TLS 1.3", "TLS version");
  await until("style and script", 5000, () => seen.answers.size >= 4);
  for (const path of ["/"].concat([...seen.answers.keys()].filter((p) => p.startsWith("/static/")))) {
    equal(seen.answers.get(path).protocol, "h2", `protocol of ${path}`);
  }
  equal(await page.textContent("h1"), "This page came over the wall.", "heading");
  return seen.answers.get("/").securityDetails.keyExchangeGroup;
});

await check("answers say who served them", async () => {
  const { fields } = seen.answers.get("/");
  equal(fields.server, "seawall", "Server");
  assert(/^[0-9a-f]{16}-DEV$/.test(fields["cf-ray"]), `CF-Ray is ${fields["cf-ray"]}`);
  equal(await page.textContent(".stations li:nth-child(2) span"), fields["cf-ray"], "ray ID on the page");
});

await check("text is compressed with what the browser likes best", async () => {
  const said = [];
  for (const path of ["/", "/static/site.css", "/static/site.js", "/static/mark.svg"]) {
    const answer = seen.answers.get(path);
    assert(answer, `${path} was not asked for`);
    const coding = answer.fields["content-encoding"];
    if (path !== "/static/mark.svg") assert(/^(br|zstd)$/.test(coding), `Content-Encoding of ${path} is ${coding}`);
    if (coding) assert(/accept-encoding/i.test(answer.fields.vary), `Vary of ${path} is ${answer.fields.vary}`);
    said.push(`${path} ${coding ?? "as it is"}`);
  }
  return said.join(", ");
});

await check("static files are cache hits for the next visitor, and after a reload", async () => {
  const { page, context } = await open();
  const { answers } = await network(page);
  await page.goto(`${secure}/`);
  await page.reload();
  const paths = ["/static/site.css", "/static/site.js", "/static/mark.svg"];
  await until("all files", 5000, () => paths.every((p) => answers.has(p)));
  for (const path of paths) {
    const { fields } = answers.get(path);
    equal(fields["cf-cache-status"], "HIT", `CF-Cache-Status of ${path}`);
    assert(/^seawall; hit/.test(fields["cache-status"]), `Cache-Status of ${path} is ${fields["cache-status"]}`);
    assert(/^\d+$/.test(fields.age), `Age of ${path} is ${fields.age}`);
  }
  await context.close();
});

await check("a forced reload asks the origin whether it still has the same", async () => {
  const { page, context } = await open();
  const { cdp, answers } = await network(page);
  await page.goto(`${secure}/`);
  // As Ctrl-Shift-R does, this sends `Cache-Control: no-cache`.
  await cdp.send("Network.setCacheDisabled", { cacheDisabled: true });
  await page.reload();
  await until("the style", 5000, () => answers.has("/static/site.css"));
  const { status, fields } = answers.get("/static/site.css");
  equal(`${status} ${fields["cf-cache-status"]}`, "200 REVALIDATED", "answer");
  await context.close();
});

await check("the live figures of the front page move", async () => {
  await page.locator("[data-strip] .hit").first().waitFor();
  await until("the edge's protocol on the page", 5000, async () => /speaks h2/.test(await page.textContent("[data-live=edge]")));
  await until("a WebSocket's way there and back", 5000, async () => /\d/.test(await page.textContent("[data-out=socket]")));
  await until("three events", 6000, async () => Number(await page.textContent("[data-out=events]")) >= 3);
});

await check("events arrive one by one, each in its second", async () => {
  const times = await page.evaluate(() => new Promise((done, fail) => {
    const source = new EventSource("/events"), got = [];
    source.addEventListener("tick", (event) => {
      got.push({ at: performance.now(), late: Date.now() - JSON.parse(event.data).unix_ms });
      if (got.length === 4) { source.close(); done(got); }
    });
    setTimeout(() => fail(new Error(`only ${got.length} events`)), 8000);
  }));
  const gaps = times.slice(1).map((t, i) => t.at - times[i].at);
  assert(gaps.every((gap) => gap > 600 && gap < 1600), `gaps of ${gaps.map(Math.round)} ms`);
  assert(times.every((t) => t.late < 500), `late by ${times.map((t) => t.late)} ms`);
  return `gaps ${gaps.map(Math.round).join(", ")} ms`;
});

await check("a slow answer arrives line by line", async () => {
  const gaps = await page.evaluate(async () => {
    const reader = (await fetch("/slow?s=3&drip=1")).body.getReader(), times = [];
    while (!(await reader.read()).done) times.push(performance.now());
    return times.slice(1).map((t, i) => t - times[i]);
  });
  assert(gaps.length === 2 && gaps.every((gap) => gap > 600), `gaps of ${gaps.map(Math.round)} ms`);
});

await check("a WebSocket echoes over TLS", async () => {
  const { page, context } = await open();
  const { sockets } = await network(page);
  await page.goto(`${secure}/ws`);
  await page.getByText("Connected.").waitFor();
  for (const text of ["Ahoy", "ahoj, 海, 🌊", "x".repeat(4096)]) {
    await page.fill("input[name=say]", text);
    await page.click("button");
    await page.locator("[data-log] li", { hasText: text.slice(0, 60) }).first().waitFor();
  }
  const sizes = await page.evaluate(() => new Promise((done, fail) => {
    const socket = new WebSocket(`wss://${location.host}/ws`), got = [];
    socket.binaryType = "arraybuffer";
    socket.onopen = () => { for (const size of [0, 1, 125, 126, 65535, 65536]) socket.send(new Uint8Array(size).fill(7)); };
    socket.onmessage = ({ data }) => { got.push(data.byteLength); if (got.length === 6) { socket.close(1000); } };
    socket.onclose = ({ code, wasClean }) => done([...got, code, wasClean]);
    socket.onerror = () => fail(new Error("the socket broke"));
  }));
  equal(sizes.join(), "0,1,125,126,65535,65536,1000,true", "echoed sizes, close code, clean");
  await picture(page, "ws");
  await context.close();
  const { status } = sockets[0];
  return status === 200 ? "extended CONNECT on HTTP/2" : `HTTP/1.1 upgrade, status ${status}`;
});

await check("the access log names each of them", async () => {
  // Lines are written from a queue, and a socket's only when it ends.
  const socket = await until("the socket's line", 5000, () =>
    lines().find((l) => l.ClientRequestURI === "/ws" && (l.ClientRequestMethod === "CONNECT" || l.EdgeResponseStatus === 101)));
  assert(lines().some((l) => l.CacheCacheStatus === "hit" && l.ClientRequestURI.startsWith("/static/")), "no hit in the log");
  return `the socket as ${socket.ClientRequestMethod} over ${socket.ClientRequestProtocol}, status ${socket.EdgeResponseStatus}`;
});

function lines() {
  return readFileSync(join(edge.data, "log/access.log"), "utf8").split("\n").slice(0, -1).map((l) => JSON.parse(l));
}

const file = join(folder(), "wave.bin");
const wave = Buffer.alloc(3 << 20, "seawall ");
writeFileSync(file, wave);

await check("an upload arrives whole, with a script", async () => {
  const { page, context } = await open();
  await page.goto(`${secure}/upload`);
  await page.setInputFiles("input[type=file]", file);
  await page.click("button");
  await page.getByText("It is the file you have.").waitFor();
  const text = await page.textContent("[data-out=upload]");
  assert(text.includes(createHash("sha256").update(wave).digest("hex")) && text.includes("3,145,728 bytes"), text);
  await picture(page, "upload");
  await context.close();
});

await check("an upload arrives without scripts", async () => {
  const { page, context } = await open({ javaScriptEnabled: false });
  await page.goto(`${secure}/upload`);
  await page.setInputFiles("input[type=file]", file);
  await page.click("button");
  await page.getByRole("heading", { name: "It arrived" }).waitFor();
  const bytes = Number((await page.textContent(".lead")).match(/^(\d+) bytes/)[1]);
  assert(bytes > wave.length && bytes < wave.length + 1000, `${bytes} bytes`);
  await picture(page, "upload-receipt");
  await context.close();
});

await check("a large download is whole, and stored for the next visitor", async () => {
  const got = [];
  for (let visitor = 0; visitor < 2; visitor += 1) {
    const { page, context } = await open();
    await page.goto(`${secure}/cached`);
    got.push(await page.evaluate(async () => {
      const answer = await fetch("/large?mb=8&cache=1");
      return [(await answer.arrayBuffer()).byteLength, answer.headers.get("cf-cache-status")];
    }));
    await context.close();
  }
  equal(JSON.stringify(got), JSON.stringify([[8 << 20, "MISS"], [8 << 20, "HIT"]]), "lengths and cache status");
});

await check("the browser had nothing to complain about", () => equal(complaints.join("\n"), "", "complaints"));

await check("a page kept for ten seconds stands still, then moves", async () => {
  const { page, context } = await open({ javaScriptEnabled: false });
  const time = async () => { await page.goto(`${secure}/cached?still`); return page.textContent("time"); };
  const first = await time();
  await sleep(1200);
  equal(await time(), first, "time on the page");
  await context.close();
});

await check("every page is whole without scripts", async () => {
  const { page, context } = await open({ javaScriptEnabled: false });
  for (const path of PAGES) {
    await page.goto(`${secure}${path}`);
    assert(await page.locator("h1").isVisible(), `no heading on ${path}`);
    equal(await page.locator("nav a").count(), 5, `links in the head of ${path}`);
  }
  await page.goto(`${secure}/`);
  assert(await page.getByText("scripts are off").isVisible(), "the front page does not say that scripts are off");
  assert(!(await page.locator(".panels").isVisible()), "panels without figures are shown");
  await picture(page, "home-no-script");
  await context.close();
});

for (const colorScheme of ["light", "dark"]) {
  for (const [size, viewport] of [["wide", WIDE], ["phone", PHONE]]) {
    await check(`pages are readable and fit: ${colorScheme}, ${size}`, async () => {
      const { page, context } = await open({ colorScheme, viewport });
      for (const path of PAGES.concat("/errors/522", "/errors/1015", "/errors/400")) {
        await page.goto(`${secure}${path}`);
        if (path === "/") await until("two events", 5000, async () => Number(await page.textContent("[data-out=events]")) >= 2);
        if (path === "/cached") await page.locator("[data-strip] li").nth(1).waitFor();
        try {
          await isReadable(page);
          await fitsItsWidth(page);
        } catch (error) {
          throw new Error(`${path}: ${error.message}`);
        }
        const name = path === "/" ? "home" : path.slice(1).replace(/\W.*$|\/.*$/, "");
        if (/^(home|cached|headers|errors)$/.test(name)) await picture(page, `${path.startsWith("/errors/") ? `error-${path.slice(8)}` : name}-${colorScheme}-${size}`);
      }
      await context.close();
    });
  }
}

await check("the keyboard reaches everything in order, and one sees where it is", async () => {
  const { page, context } = await open();
  const counts = [];
  for (const path of ["/", "/ws", "/upload"]) {
    await page.goto(`${secure}${path}`);
    const reached = await focusOrder(page);
    equal(reached[0].name, "To the content", `first stop on ${path}`);
    counts.push(`${reached.length} on ${path}`);
  }
  await page.goto(`${secure}/`);
  await page.keyboard.press("Tab");
  await picture(page, "focus-skip", false);
  for (let i = 0; i < 4; i += 1) await page.keyboard.press("Tab");
  await picture(page, "focus", false);
  await context.close();
  return counts.join(", ");
});

await check("every specimen of an error page renders, and says who failed", async () => {
  const { page, context, complaints } = await open();
  await page.goto(`${secure}/errors`);
  const links = await page.locator("tbody th a").evaluateAll((list) => list.map((a) => [a.pathname, a.closest("tr").cells[1].textContent]));
  assert(links.length > 20, `${links.length} links`);
  const stations = { visitor: "You", edge: "Edge", origin: "Origin" };
  for (const [path, title] of links) {
    const code = path.split("/").pop();
    const requests = [];
    const note = (request) => requests.push(request.url());
    page.on("request", note);
    await page.goto(`${secure}${path}`);
    page.off("request", note);
    equal(requests.length, 1, `requests for ${path}`);
    const text = await page.textContent("body");
    assert(text.includes(title) && text.includes(code), `${path} does not say ${code} ${title}`);
    assert(/Ray ID/.test(text), `${path} has no ray ID`);
    const bad = await page.locator(".way .bad b").allTextContents();
    assert(bad.length <= 1 && bad.every((b) => Object.values(stations).includes(b)), `${path} marks ${bad}`);
    await fitsItsWidth(page);
  }
  equal(complaints.join("\n"), "", "complaints");
  await context.close();
  return `${links.length} pages`;
});

await check("the page lives through kill -9 of the edge", async () => {
  const { page, context } = await open();
  await page.goto(`${secure}/`);
  await until("an event", 5000, async () => Number(await page.textContent("[data-out=events]")) >= 1);
  const before = roleOf(edge.pid, "edge");
  assert(before, "no edge under the supervisor");
  process.kill(before, "SIGKILL");
  const response = await page.reload();
  equal(response.status(), 200, "status after the kill");
  const after = await until("another edge", 5000, () => roleOf(edge.pid, "edge"));
  assert(after !== before, "the same edge");
  await until("events again", 6000, async () => Number(await page.textContent("[data-out=events]")) >= 1);
  await until("a socket again", 6000, async () => /\d/.test(await page.textContent("[data-out=socket]")));
  await context.close();
});

await check("a page that stays open mends itself after kill -9", async () => {
  const { page, context } = await open();
  await page.goto(`${secure}/`);
  await until("a socket", 6000, async () => /\d/.test(await page.textContent("[data-out=socket]")));
  process.kill(roleOf(edge.pid, "edge"), "SIGKILL");
  const count = async () => Number(await page.textContent("[data-out=events]"));
  await until("the page notices", 5000, async () => /another try|Broken off/.test(await page.textContent(".live")));
  const then = await count();
  // Chromium asks for a broken stream again after some seconds.
  await until("events go on", 9000, async () => (await count()) > then);
  await until("the socket goes on", 6000, async () => /Connected/.test(await page.textContent("[data-out=socket-state]")));
  await context.close();
});

await check("the same in the clear is HTTP/1.1, with gzip", async () => {
  // Not a loopback address in the browser's eyes, so it is offered gzip only, as on any site in the clear.
  const { page, context, complaints } = await open();
  const { answers, sockets } = await network(page);
  const host = `demo.test:${edge.http.split(":").pop()}`;
  await page.goto(`http://${host}/`);
  await until("a socket", 6000, async () => /\d/.test(await page.textContent("[data-out=socket]")));
  await until("an event", 5000, async () => Number(await page.textContent("[data-out=events]")) >= 1);
  equal(answers.get("/").protocol, "http/1.1", "protocol");
  equal(answers.get("/static/site.css").fields["content-encoding"], "gzip", "Content-Encoding");
  equal(sockets[0].status, 101, "status of the upgrade");
  equal(complaints.join("\n"), "", "complaints");
  await context.close();
});

await withBrokenOrigins(open);
if (process.argv.includes("pictures")) await renewPictures(open, edge);
await context.close();
await finish();
