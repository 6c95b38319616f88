// Node's own fetch and http2, undici and ws.
import { createHash, randomBytes } from "node:crypto";
import http2 from "node:http2";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import tls from "node:tls";
import { readFileSync } from "node:fs";

const require = createRequire(resolve("target/client-tests/package.json"));
const undici = require("undici");
const WebSocket = require("ws");
const [secure, clear] = process.argv.slice(2);
const ca = readFileSync(process.env.NODE_EXTRA_CA_CERTS);


async function check(name, task) {
  const start = performance.now();
  try {
    const limit = new Promise((_, fail) => setTimeout(() => fail(new Error("not within 15 s")), 15_000).unref());
    const said = await Promise.race([task(), limit]);
    console.log(`ok    ${name}${said ? ` (${said})` : ""}  ${Math.round(performance.now() - start)} ms`);
  } catch (error) {

    console.log(`FAIL  ${name}\n      ${String(error.stack ?? error).split("\n").slice(0, 4).join("\n      ")} ${error.cause ?? ""}`);
  }
}

function equal(got, wanted, what = "value") {
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${what} is ${a}, not ${b}`);
}

const blob = randomBytes(1 << 20);
const digest = createHash("sha256").update(blob).digest("hex");

await check("fetch: pages, decoding, a streamed upload, an abort", async () => {
  const page = await fetch(`${secure}/`);
  equal([page.status, page.headers.get("server")], [200, "seawall"]);
  if (!(await page.text()).includes("This page came over the wall.")) throw new Error("another page");
  const body = new ReadableStream({
    start(controller) {
      for (let i = 0; i < blob.length; i += 10_000) controller.enqueue(blob.subarray(i, i + 10_000));
      controller.close();
    },
  });
  const sent = await fetch(`${secure}/upload`, { method: "POST", body, duplex: "half", headers: { Accept: "application/json" } });
  equal((await sent.json()).sha256, digest);
  const abort = new AbortController();
  const events = await fetch(`${secure}/events`, { signal: abort.signal });
  await events.body.getReader().read();
  abort.abort();
  equal((await fetch(`${secure}/api/time`)).status, 200, "status after an abort");
});

await check("undici: pipelined requests in the clear, in their order", async () => {
  const client = new undici.Client(clear, { pipelining: 10 });
  const got = await Promise.all(Array.from({ length: 40 }, async (_, n) => {
    const { body } = await client.request({ method: "GET", path: `/headers?n=${n}`, headers: { accept: "application/json" } });
    return (await body.json()).query;
  }));
  equal(got, Array.from({ length: 40 }, (_, n) => `n=${n}`));
  await client.close();
});

await check("undici: over HTTP/2", async () => {
  const agent = new undici.Agent({ allowH2: true, connect: { ca } });
  const got = await Promise.all(Array.from({ length: 20 }, async (_, n) => {
    const { statusCode, body } = await undici.request(`${secure}/headers?n=${n}`, { dispatcher: agent, headers: { accept: "application/json" } });
    return [statusCode, (await body.json()).query];
  }));
  equal(got, Array.from({ length: 20 }, (_, n) => [200, `n=${n}`]));
  await agent.close();
});

await check("http2: sixty streams, a stream cancelled among them, a ping", async () => {
  const session = http2.connect(secure, { ca });
  session.on("error", () => {});
  const ask = (path) => new Promise((done, fail) => {
    const stream = session.request({ ":path": path, accept: "application/json" });
    let head, size = 0;
    stream.on("response", (h) => { head = h; });
    stream.on("data", (piece) => { size += piece.length; });
    stream.on("end", () => done([head[":status"], size]));
    stream.on("error", fail);
  });
  const cancelled = session.request({ ":path": "/large?mb=64" });
  cancelled.on("error", () => {});
  cancelled.once("data", () => cancelled.close(http2.constants.NGHTTP2_CANCEL));
  const got = await Promise.all(Array.from({ length: 60 }, () => ask("/large?mb=1")));
  equal(got, Array.from({ length: 60 }, () => [200, 1 << 20]));
  await new Promise((done, fail) => session.ping((error) => (error ? fail(error) : done())));
  equal(session.remoteSettings.enableConnectProtocol, true, "SETTINGS_ENABLE_CONNECT_PROTOCOL");
  session.close();
});

await check("http2: a WebSocket by extended CONNECT (RFC 8441)", async () => {
  const session = http2.connect(secure, { ca });
  await new Promise((done) => session.once("remoteSettings", done));
  const stream = session.request({ ":method": "CONNECT", ":protocol": "websocket", ":path": "/ws", "sec-websocket-version": "13" });
  const status = await new Promise((done, fail) => { stream.once("response", (h) => done(h[":status"])); stream.once("error", fail); });
  equal(status, 200);
  // One masked text frame, "Ahoy"; it comes back without a mask.
  const mask = [1, 2, 3, 4], text = Buffer.from("Ahoy");
  stream.write(Buffer.from([0x81, 0x84, ...mask, ...text.map((b, i) => b ^ mask[i])]));
  const back = await new Promise((done) => stream.once("data", done));
  equal([...back], [0x81, 4, ...text]);
  stream.close();
  session.close();
});

await check("tls: ALPN is honoured; without it, and with TLS 1.2, HTTP/1.1 is spoken", async () => {
  const { hostname, port } = new URL(secure);
  const socket = tls.connect({ host: hostname, port, servername: hostname, ca, ALPNProtocols: ["http/1.1"] });
  await new Promise((done, fail) => { socket.once("secureConnect", done); socket.once("error", fail); });
  equal(socket.alpnProtocol, "http/1.1");
  socket.destroy();
  const silent = tls.connect({ host: hostname, port, servername: hostname, ca, minVersion: "TLSv1.2", maxVersion: "TLSv1.2" });
  await new Promise((done, fail) => { silent.once("secureConnect", done); silent.once("error", fail); });
  equal([silent.alpnProtocol, silent.getProtocol()], [false, "TLSv1.2"]);
  silent.write("GET /api/time HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  let answer = "";
  for await (const piece of silent) answer += piece;
  equal(answer.slice(0, 15), "HTTP/1.1 200 OK");
});

for (const base of [clear, secure]) {
  await check(`ws: text, binary, ping, close over ${base.split(":")[0]}`, async () => {
    const socket = new WebSocket(`${base.replace("http", "ws")}/ws`, { ca, perMessageDeflate: true });
    const next = (name) => new Promise((done, fail) => { socket.once(name, (...got) => done(got)); socket.once("error", fail); });
    await next("open");
    socket.send("Ahoy");
    equal(String((await next("message"))[0]), "Ahoy");
    socket.send(blob.subarray(0, 50_000));
    equal((await next("message"))[0].equals(blob.subarray(0, 50_000)), true, "echo");
    socket.ping("x");
    equal(String((await next("pong"))[0]), "x");
    socket.close(4001, "enough");
    equal((await next("close"))[0], 4001, "close code");
  });
}

process.exit(0);
