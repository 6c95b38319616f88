// Live figures of the demo site. Every page works without this file.
const one = (selector) => document.querySelector(selector);
const out = (name) => one(`[data-out="${name}"]`);
const say = (name, text) => { const place = out(name); if (place && place.textContent !== text) place.textContent = text; };
const milliseconds = (ms) => (ms < 10 ? ms.toFixed(1) : Math.round(ms).toString());
document.documentElement.classList.add("script");

/** Asks for a page and takes the time until its body is there. */
async function timed(url) {
  const start = performance.now();
  const answer = await fetch(url, { headers: { Accept: "text/html" } });
  await answer.arrayBuffer();
  return { answer, ms: performance.now() - start };
}

/** Keeps the newest figures and draws them as a line. */
function spark(name, keep = 60) {
  const figures = [];
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  one(`[data-spark="${name}"]`)?.append(line);
  return (ms) => {
    figures.push(ms);
    if (figures.length > keep) figures.shift();
    const middle = [...figures].sort((a, b) => a - b)[Math.floor(figures.length / 2)];
    // One slow answer (the first, say, with its handshake) is cut off rather than press all others flat.
    const top = Math.max(Math.min(Math.max(...figures), middle * 4), 1);
    const height = (f) => 38 - Math.min(f / top, 1) * 34;
    line.setAttribute("points", figures.map((f, i) => `${(i * 240) / (keep - 1)},${height(f)}`).join(" "));
    const place = out(name);
    place.textContent = `${milliseconds(ms)} ms `;
    const small = document.createElement("small");
    small.textContent = `median ${milliseconds(middle)}`;
    place.append(small);
  };
}

/** One more answer in the strip, with its cache status in words. */
function stripe(answer, keep) {
  const status = answer.headers.get("cf-cache-status");
  const item = document.createElement("li");
  item.textContent = status ?? "no edge";
  if (/^(HIT|STALE|UPDATING|REVALIDATED)$/.test(status)) item.className = "hit";
  else if (status) item.className = "miss";
  const strip = one("[data-strip]");
  strip.append(item);
  while (strip.children.length > keep) strip.firstChild.remove();
  const age = answer.headers.get("age");
  if (!status) say("age", "The answers carry no CF-Cache-Status: there is no edge in between.");
  else if (age === null) say("age", `${status}: this answer came from the origin.`);
  else say("age", `${status}: the edge has kept this answer for ${age} of at most 10 seconds.`);
}

/** Does something again and again while the page is seen, and waits longer while it fails. */
async function repeat(every, task) {
  for (let wait = every; ; ) {
    if (!document.hidden) {
      try { await task(); wait = every; } catch { wait = Math.min(wait * 2, 10000); }
    }
    await new Promise((done) => setTimeout(done, wait));
  }
}

function cachePanel() {
  const cached = spark("cached"), fresh = spark("fresh");
  let seen = false;
  repeat(500, async () => {
    const first = await timed("/cached");
    cached(first.ms);
    stripe(first.answer, 14);
    fresh((await timed("/api/time")).ms);
    if (!seen && first.answer.headers.get("cf-ray")) {
      seen = true;
      const way = performance.getEntriesByType("navigation")[0]?.nextHopProtocol;
      if (way) one('[data-live="edge"]').textContent = `speaks ${way} with you`;
    }
  });
}

function eventPanel() {
  let count = 0;
  const source = new EventSource("/events");
  source.addEventListener("tick", (event) => {
    say("events", String(++count));
    const { number, unix_ms } = JSON.parse(event.data);
    say("event-delay", `Event ${number} took ${Math.max(0, Date.now() - unix_ms)} ms, if both clocks agree.`);
  });
  source.onopen = () => say("event-delay", "Connected.");
  source.onerror = () => say("event-delay", "Broken off; the browser connects again by itself.");
}

const socketUrl = () => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;

function socketPanel() {
  let wait = 1000;
  const connect = () => {
    const socket = new WebSocket(socketUrl());
    let timer;
    const ping = () => { if (!document.hidden && socket.readyState === 1) socket.send(String(performance.now())); };
    socket.onopen = () => { wait = 1000; say("socket-state", "Connected."); ping(); timer = setInterval(ping, 1000); };
    socket.onmessage = (event) => say("socket", milliseconds(performance.now() - Number(event.data)));
    socket.onclose = () => {
      clearInterval(timer);
      say("socket-state", `Closed; another try in ${Math.round(wait / 1000)} s.`);
      setTimeout(connect, wait);
      wait = Math.min(wait * 2, 30000);
    };
  };
  connect();
}

function talkPage(form) {
  const socket = new WebSocket(socketUrl());
  const log = one("[data-log]");
  const sent = [];
  say("socket-state", "Connecting.");
  socket.onopen = () => say("socket-state", "Connected.");
  socket.onclose = (event) => say("socket-state", `Closed (${event.code}). Reload the page to connect again.`);
  socket.onmessage = (event) => {
    const item = document.createElement("li");
    item.textContent = `${milliseconds(performance.now() - sent.shift())} ms  ${event.data}`;
    log.prepend(item);
    while (log.children.length > 50) log.lastChild.remove();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (socket.readyState !== 1) return;
    sent.push(performance.now());
    socket.send(form.elements.say.value);
    form.elements.say.select();
  });
}

const hex = (buffer) => Array.from(new Uint8Array(buffer), (b) => b.toString(16).padStart(2, "0")).join("");

function uploadPage(form) {
  say("upload", "The file is sent as it is; nothing of it is kept.");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const file = form.elements.file.files[0];
    if (!file) return;
    const bar = out("progress");
    const request = new XMLHttpRequest();
    request.open("POST", "/upload");
    request.setRequestHeader("Accept", "application/json");
    request.upload.onprogress = (e) => { bar.hidden = false; bar.value = e.total ? e.loaded / e.total : 0; };
    request.onerror = () => say("upload", "The upload broke off.");
    request.onload = async () => {
      bar.hidden = true;
      if (request.status !== 200) return say("upload", `The answer was ${request.status}.`);
      const { bytes, sha256, took_ms } = JSON.parse(request.responseText);
      let verdict = "";
      // Digests in the browser need a secure page, and the whole file in memory.
      if (crypto.subtle && file.size <= 64 << 20) {
        const own = hex(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
        verdict = own === sha256 ? " It is the file you have." : " IT IS NOT the file you have.";
      }
      say("upload", `The origin got ${bytes.toLocaleString("en")} bytes in ${took_ms} ms. SHA-256 ${sha256}.${verdict}`);
    };
    request.send(file);
  });
}

const pages = {
  cache: cachePanel,
  events: eventPanel,
  socket: socketPanel,
  strip: () => repeat(1000, async () => stripe((await timed("/cached")).answer, 40)),
  talk: talkPage,
  upload: uploadPage,
};
for (const panel of document.querySelectorAll("[data-panel]")) pages[panel.dataset.panel]?.(panel);
