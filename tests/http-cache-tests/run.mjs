// The public suite for HTTP caches (https://cache-tests.fyi) against the real binary: its own origin server, Seawall in
// front with nothing but `--origin`, its own client. Prints required passed/total and every miss.
//
//   tests/http-cache-tests/run [--binary target/debug/seawall] [--chunk 25] [--id TEST] [--all]
//
// Fails (exit 1) if a required test fails that misses.txt does not list, or if one it lists passes: the list is a
// promise in both directions. `--id` runs one test and shows both sides' heads; `--all` shows optimal misses too.
// The package goes to target/, is fetched once from the npm registry, and is never committed.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const VERSION = '0.4.5'
// Below this something is broken that no list should excuse.
const REQUIRED_MIN = 155
const START_MS = 15_000

const here = dirname(fileURLToPath(import.meta.url))
const root = resolve(here, '../..')
const { values: options } = parseArgs({
  options: {
    binary: { type: 'string', default: process.env.SEAWALL ?? join(root, 'target/debug/seawall') },
    chunk: { type: 'string', default: '25' },
    id: { type: 'string' },
    all: { type: 'boolean', default: false },
    log: { type: 'boolean', default: false }
  }
})

const suite = install()
const children = []
const scratch = mkdtempSync(join(tmpdir(), 'seawall-cache-tests-'))
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(scratch, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130))

if (!existsSync(options.binary)) {
  fail(`${options.binary} is missing: cargo build -p seawall`)
}
const originPort = await freePort()
const edgePort = await freePort()
start('origin', process.execPath, ['server/server.mjs'], {
  cwd: suite,
  env: {
    ...process.env,
    npm_config_protocol: 'http',
    npm_config_port: String(originPort),
    npm_config_pidfile: join(scratch, 'origin.pid')
  }
})
start('edge', options.binary, [
  'edge', '--origin', `http://127.0.0.1:${originPort}`, '--http', `127.0.0.1:${edgePort}`,
  '--https', 'off', '--metrics', 'off', '--data-dir', scratch
], { cwd: scratch, env: process.env })
await Promise.all([answering(originPort), answering(edgePort)])

const load = path => import(pathToFileURL(join(suite, path)))
const { default: suites } = await load('tests/index.mjs')
suites.push((await load('tests/surrogate-control.mjs')).default)
const { runTests, getResults } = await load('client/runner.mjs')
const { default: fetch } = await import(pathToFileURL(join(suite, '../node-fetch/lib/index.js')))

let chosen = suites
if (options.id !== undefined) {
  chosen = suites.map(s => ({ ...s, tests: s.tests.filter(t => t.id === options.id) })).filter(s => s.tests.length)
  if (chosen.length === 0) fail(`there is no test ${options.id}`)
  chosen[0].tests[0].dump = true
}
await runTests(chosen, fetch, false, `http://127.0.0.1:${edgePort}`, Number(options.chunk))
const results = getResults()
if (options.id !== undefined) {
  console.log(options.id, JSON.stringify(results[options.id]))
  process.exit(results[options.id] === true ? 0 : 1)
}
process.exit(report() ? 0 : 1)

// A test counts only if those it depends on pass too, as on cache-tests.fyi.
function passes (tests, id) {
  const test = tests.get(id)
  return results[id] === true && (test?.depends_on ?? []).every(other => passes(tests, other))
}

function report () {
  const tests = new Map(suites.flatMap(s => s.tests).map(t => [t.id, t]))
  const listed = misses()
  const counts = new Map()
  let sound = true
  for (const [id, test] of tests) {
    if (test.browser_only || !(id in results)) continue
    const kind = test.kind ?? 'required'
    const count = counts.get(kind) ?? { passed: 0, total: 0 }
    counts.set(kind, count)
    count.total += 1
    const passed = passes(tests, id)
    count.passed += passed ? 1 : 0
    if (kind === 'required' && passed && listed.has(id)) {
      console.log(`passes, but is listed in misses.txt: ${id}`)
      sound = false
    }
    if (passed || (kind !== 'required' && !(options.all && kind === 'optimal'))) continue
    const why = results[id] === true
      ? `depends on ${(test.depends_on ?? []).filter(d => !passes(tests, d)).join(', ')}`
      : String(results[id]?.[1] ?? results[id])
    const known = listed.get(id)
    console.log(`${kind === 'required' && known === undefined ? 'NEW MISS' : 'miss'} (${kind}) ${id}: ${why}${known ? `\n    listed: ${known}` : ''}`)
    if (kind === 'required' && known === undefined) sound = false
  }
  for (const id of listed.keys()) {
    if (!tests.has(id)) {
      console.log(`listed in misses.txt, but there is no such test: ${id}`)
      sound = false
    }
  }
  for (const [kind, { passed, total }] of counts) console.log(`${kind}: ${passed} of ${total} passed`)
  const required = counts.get('required')?.passed ?? 0
  if (required < REQUIRED_MIN) {
    console.log(`only ${required} required tests pass; ${REQUIRED_MIN} is the least`)
    sound = false
  }
  return sound
}

function misses () {
  const lines = readFileSync(join(here, 'misses.txt'), 'utf8').split('\n')
  const entries = lines.map(l => l.trim()).filter(l => l !== '' && !l.startsWith('#'))
  return new Map(entries.map(line => {
    const [id, ...reason] = line.split(/\s+/)
    if (reason.length === 0) fail(`misses.txt: ${id} has no reason`)
    return [id, reason.join(' ')]
  }))
}

function install () {
  const folder = join(root, 'target', 'http-cache-tests')
  const path = join(folder, 'node_modules', 'http-cache-tests')
  const manifest = join(path, 'package.json')
  if (existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).version === VERSION) return path
  mkdirSync(folder, { recursive: true })
  const args = ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel', 'error']
  const done = spawnSync('npm', [...args, `http-cache-tests@${VERSION}`], { stdio: 'inherit' })
  if (done.status !== 0) fail('npm could not install http-cache-tests')
  return path
}

function start (name, command, args, how) {
  const child = spawn(command, args, { ...how, stdio: ['ignore', 'pipe', 'pipe'] })
  const tell = data => { if (options.log || options.id !== undefined) process.stdout.write(`[${name}] ${data}`) }
  child.stdout.on('data', tell)
  child.stderr.on('data', tell)
  child.on('exit', code => { if (code !== null) fail(`the ${name} ended (${code})`) })
  children.push(child)
}

function freePort () {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

async function answering (port) {
  const end = Date.now() + START_MS
  while (Date.now() < end) {
    const open = await new Promise(resolve => {
      const socket = connect(port, '127.0.0.1')
      socket.on('connect', () => { socket.destroy(); resolve(true) })
      socket.on('error', () => resolve(false))
    })
    if (open) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  fail(`nothing answers on port ${port}`)
}

function fail (why) {
  console.error(why)
  process.exit(1)
}
