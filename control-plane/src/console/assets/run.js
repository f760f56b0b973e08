// Follows the log of a run that goes on. The page works without it: it shows what there was when it
// was loaded.
const log = document.getElementById("log");
const news = document.getElementById("log-news");
const note = document.getElementById("log-state");
const size = document.getElementById("log-size");
const MOST = 2000000; // characters that are kept in the page
const BLOCK = 16000; // characters of one part: what is added moves nothing but the last
const MOST_TRIES = 8;
const GONE = "You are signed out, or may not see this run any more. Reload the page.";

let stream = null;
let block = null; // the last part of the log, an element of its own
let filled = 0; // characters in it
let held = 0; // characters in all of them
let tries = 0;
let at = 0;
let atBottom = true;
let waiting = "";
let added = 0;
let cut = false;
let ended = false;

function bytes(count) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (count < 1024) return (unit === "B" ? count : count.toFixed(1)) + " " + unit;
    count /= 1024;
  }
  return count.toFixed(1) + " GiB";
}

// Parts begin where lines do.
function put(text) {
  held += text.length;
  let rest = "";
  if (filled > BLOCK) {
    const end = block.textContent.endsWith("\n") ? 0 : text.indexOf("\n") + 1 || text.length;
    [text, rest] = [text.slice(0, end), text.slice(end)];
  }
  block.append(text);
  filled += text.length;
  if (!rest) return;
  block = document.createElement("div");
  block.append(rest);
  log.append(block);
  filled = rest.length;
}

function draw() {
  const text = waiting;
  waiting = "";
  if (!text) return;
  put(text);
  while (held > MOST && log.childNodes.length > 1) {
    held -= log.firstChild.textContent.length;
    log.firstChild.remove();
    cut = true;
  }
  if (atBottom) log.scrollTop = log.scrollHeight;
}

function add(text) {
  if (!waiting) requestAnimationFrame(draw);
  waiting += text;
  added += text.split("\n").length - 1;
}

// What stands above the log comes from the page itself, so that it is written in one place.
async function refresh() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ["run", "run-state", "run-actions"]) {
    const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
    if (old && fresh) old.replaceWith(fresh);
  }
}

function say(text) {
  if (note) note.textContent = text;
  news.textContent = text;
}

function tell() {
  say(ended ? "The run has ended; the rest of its log is on its way." : "The run is " + log.dataset.state + ".");
}

function over(text) {
  stop();
  delete log.dataset.live;
  say(text);
}

function stop() {
  if (stream) stream.close();
  stream = null;
}

// The server closed the door: a proxy answers while it starts again, or the visitor may not come in.
async function lost() {
  stop();
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.redirected || answer.status === 404) return over(GONE);
  } catch { /* not there at all: tried again like the rest */ }
  if (tries === MOST_TRIES) return over("The log cannot be followed now. Reload the page to go on.");
  say("The connection was lost; trying again.");
  setTimeout(start, 1000 * 2 ** tries);
  tries += 1;
}

function start() {
  if (stream || document.hidden || !log.dataset.live) return;
  const address = new URL(log.dataset.live, location.href);
  if (at) address.searchParams.set("from", at);
  stream = new EventSource(address);
  stream.addEventListener("log", (event) => {
    const piece = JSON.parse(event.data);
    at = piece.bytes;
    size.textContent = bytes(at) + (cut ? ", the end of it" : "");
    add(piece.text);
  });
  stream.addEventListener("state", (event) => {
    const { state, words } = JSON.parse(event.data);
    if (log.dataset.state === words) return;
    const first = log.dataset.state === undefined;
    log.dataset.state = words;
    ended = !["queued", "preparing", "running"].includes(state);
    tell();
    if (!first || words !== document.getElementById("run-state").textContent.trim()) refresh();
  });
  stream.addEventListener("end", () => {
    over("The run is over; this is the whole log.");
    refresh();
  });
  stream.addEventListener("gone", () => over(GONE));
  stream.onerror = () => {
    if (!stream) return;
    if (stream.readyState === EventSource.CLOSED) lost();
    else say("The connection was lost; trying again.");
  };
  stream.onopen = () => { tries = 0; if (log.dataset.state) tell(); };
}

if (log && log.dataset.live) {
  block = document.createElement("div");
  block.append(...log.childNodes);
  log.append(block);
  held = filled = block.textContent.length;
  log.scrollTop = log.scrollHeight;
  log.addEventListener("scroll", () => {
    atBottom = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  });
  // A browser has few connections to one server: a page nobody looks at gives its own back.
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  setInterval(() => {
    if (added && stream) news.textContent = added + " more lines.";
    added = 0;
  }, 10000);
  start();
}
