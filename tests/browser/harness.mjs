// What every suite here needs: checks that print a line each, and Seawall as a child that never outlives the run.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const SEAWALL = process.env.SEAWALL;
/** How long Seawall may take to be ready, and to stop, in milliseconds. */
const START_MS = 15_000, STOP_MS = 10_000;

let passed = 0, failed = 0;
// Whoever reads the lines may leave early (`| head`); what was started is stopped all the same.
process.stdout.on("error", () => {});
const endings = [];
/** What each Seawall said; printed at the end when SEAWALL_TEST_LOG is set. */
const logs = [];

/** Runs one check and prints its line. What `task` returns is said beside the name. */
export async function check(name, task) {
  const start = performance.now();
  try {
    const said = await task();
    passed += 1;
    console.log(`ok    ${name}${said ? ` (${said})` : ""}  ${Math.round(performance.now() - start)} ms`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n      ${String(error?.stack ?? error).split("\n").slice(0, 6).join("\n      ")}`);
  }
}

export function assert(condition, message) {
  if (!condition) throw new Error(message);
}

export function equal(got, wanted, what = "value") {
  assert(got === wanted, `${what} is ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`);
}

/** Waits until `probe` gives something true. */
export async function until(what, limitMs, probe) {
  const end = performance.now() + limitMs;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(40);
  }
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Something to be undone at the end, the last first, whatever happens. */
export function atEnd(task) {
  endings.push(task);
}

/** A folder that is gone at the end. */
export function folder() {
  const path = mkdtempSync(join(tmpdir(), "seawall-browser-"));
  atEnd(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Starts `seawall run` on ports of its own choice and gives its addresses once it serves. */
export async function seawall(...args) {
  const data = folder();
  const child = spawn(SEAWALL, ["run", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--data-dir", data, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => { text += bytes; });
  const ended = new Promise((done) => child.once("exit", done));
  const stop = async () => {
    child.kill("SIGTERM");
    // A second signal ends it at once: browsers hold their connections for long.
    const gone = await Promise.race([ended.then(() => true), sleep(700)]);
    if (!gone) child.kill("SIGTERM");
    if (!(await Promise.race([ended.then(() => true), sleep(STOP_MS)]))) child.kill("SIGKILL");
    await ended;
  };
  atEnd(stop);
  logs.push(() => text);
  const address = (name) => text.match(new RegExp(`^  ${name} +(\\S+)$`, "m"))?.[1];
  await until(`seawall serves; it said:\n${text}`, START_MS, () => {
    if (child.exitCode !== null) throw new Error(`seawall ended with ${child.exitCode}:\n${text}`);
    return /serving role="edge"/.test(text.replace(/\x1b\[[0-9;]*m/g, "")) && address("https");
  });
  return { pid: child.pid, data, http: address("http"), https: address("https"), log: () => text, stop };
}

/** The process of a role under a supervisor. */
export function roleOf(supervisor, role) {
  for (const name of readdirSync("/proc").filter((n) => /^\d+$/.test(n))) {
    try {
      const parent = Number(readFileSync(`/proc/${name}/stat`, "utf8").replace(/^.*\) /, "").split(" ")[1]);
      if (parent === supervisor && readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0")[1] === role) return Number(name);
    } catch {
      // It ended while it was being looked at.
    }
  }
  return undefined;
}

/** Undoes everything, says the result, and sets the exit code. */
export async function finish() {
  if (process.env.SEAWALL_TEST_LOG) for (const log of logs) console.log(log());
  while (endings.length > 0) {
    try {
      await endings.pop()();
    } catch (error) {
      console.log(`(while cleaning up: ${error.message})`);
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => { failed += 1; finish(); });
}
