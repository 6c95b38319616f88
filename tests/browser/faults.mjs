// Origins that fail in every way there is, and the page that each failure gives.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { join } from "node:path";
import { assert, atEnd, check, equal, folder, seawall, until } from "./harness.mjs";
import { fitsItsWidth, isReadable, picture } from "./looks.mjs";

/** Listens with `serve` on a port of its own and gives the port. */
async function origin(serve, make = createServer, options = {}) {
  const open = new Set();
  const server = make(options, (socket) => {
    open.add(socket);
    socket.on("error", () => {}).on("close", () => open.delete(socket));
    serve(socket);
  });
  server.on("tlsClientError", () => {});
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  atEnd(() => { server.close(); open.forEach((socket) => socket.destroy()); });
  return { port: server.address().port, server };
}

/** A port on which nobody listens. */
async function nobody() {
  const { port, server } = await origin(() => {});
  await new Promise((done) => server.close(done));
  return port;
}

/** A certificate that no authority vouches for. */
function certificate(dir) {
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => join(dir, name));
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
    "-subj", "/CN=cert.test", "-addext", "subjectAltName=DNS:cert.test", "-keyout", key, "-out", cert], { stdio: "ignore" });
  return { key: readFileSync(key), cert: readFileSync(cert) };
}

/** A request's line in the access log. */
function lineOf(edge, ray) {
  const lines = readFileSync(join(edge.data, "log/access.log"), "utf8").split("\n").slice(0, -1);
  const found = lines.find((line) => line.includes(ray));
  return found && JSON.parse(found);
}

export async function withBrokenOrigins(open) {
  const dir = folder();
  const page = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
  const after = (text) => (socket) => socket.once("data", () => socket.end(text));
  const [down, garbage, closing, silent, clear, secret] = [
    await nobody(),
    (await origin(after("this is not HTTP\r\n\r\n"))).port,
    (await origin(after(""))).port,
    (await origin(() => {})).port,
    (await origin(after(page))).port,
    (await origin(after(page), createTlsServer, certificate(dir))).port,
  ];
  // Zone, its origin, more of its pool, the status, and the code on the page where that is another.
  const zones = [
    ["down.test", `{ url = "http://127.0.0.1:${down}" }`, "", 521],
    ["garbage.test", `{ url = "http://127.0.0.1:${garbage}" }`, "", 520],
    ["closing.test", `{ url = "http://127.0.0.1:${closing}" }`, "", 520],
    ["silent.test", `{ url = "http://127.0.0.1:${silent}" }`, `timeouts = { response = "300ms" }`, 524],
    ["clear.test", `{ url = "https://127.0.0.1:${clear}" }`, "", 525],
    ["cert.test", `{ url = "https://127.0.0.1:${secret}", sni = "cert.test" }`, "", 526],
    ["handshake.test", `{ url = "https://127.0.0.1:${silent}" }`, `timeouts = { connect = "300ms" }`, 522],
    ["nowhere.test", `{ url = "http://no-such-name.invalid" }`, "", 530, 1016],
  ];
  const text = zones.map(([name, url, more]) =>
    `[[zone]]\nname = "${name}"\n[[zone.pool]]\nname = "app"\nretries = 0\norigins = [${url}]\n${more}\n`).join("\n");
  const config = join(dir, "seawall.toml");
  writeFileSync(config, text);
  const edge = await seawall("--config", config);
  const port = edge.https.split(":").pop();

  for (const [host, , , status, code = status] of zones) {
    await check(`an origin that fails gives ${status}${code === status ? "" : `, page ${code}`}: ${host}`, async () => {
      const { page, context } = await open({ viewport: { width: 390, height: 844 } });
      const response = await page.goto(`https://${host}:${port}/some/page?x=1`);
      equal(response.status(), status, "status");
      const text = await page.textContent("body");
      assert(text.includes(`Error ${code}`) && text.includes(host), `code or host is missing on the page: ${text.slice(0, 300)}`);
      equal((await page.locator(".way .bad b").allTextContents()).join(), "Origin", "the failed station");
      const ray = response.headers()["cf-ray"];
      assert(ray && text.includes(ray.split("-")[0]), `ray ${ray} is not on the page`);
      assert(/no-store|no-cache/.test(response.headers()["cache-control"] ?? ""), "the page may be cached");
      // The page tells strangers nothing of what is inside; the log says what exactly went wrong.
      const line = await until("the request's line in the log", 3000, () => lineOf(edge, ray.split("-")[0]));
      equal(line.SeawallErrorCode, code, "code in the log");
      assert(line.SeawallErrorDetail, "the log has no reason");
      assert(!text.includes("127.0.0.1:"), "the page shows an origin's address");
      await isReadable(page);
      await fitsItsWidth(page);
      await picture(page, `fault-${code}-${host.split(".")[0]}`);
      await context.close();
      return line.SeawallErrorDetail;
    });
  }

  await check("a host that nobody serves gets a page, too", async () => {
    const { page, context } = await open();
    const response = await page.goto(`https://stranger.test:${port}/`);
    assert([404, 409, 421].includes(response.status()), `status ${response.status()}`);
    await isReadable(page);
    await picture(page, "fault-stranger");
    const said = `${response.status()}: ${await page.textContent("h1")}`;
    await context.close();
    return said;
  });

  await check("programs that ask for JSON get the problem as JSON", async () => {
    const { context } = await open();
    // The page itself may load nothing (its Content-Security-Policy), so the request is made beside it.
    const answer = await context.request.get(`https://127.0.0.1:${port}/`, { headers: { Host: "down.test", Accept: "application/json" } });
    const type = answer.headers()["content-type"];
    assert(type.startsWith("application/problem+json"), `Content-Type is ${type}`);
    equal((await answer.json()).status, 521, "status");
    await context.close();
  });
}
