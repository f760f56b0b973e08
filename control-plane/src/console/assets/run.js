// Follows the log of a run that goes on. The page works without it: it shows what there was when it
// was loaded.
const log = document.getElementById("log");
const news = document.getElementById("log-news");
const note = document.getElementById("log-state");
const size = document.getElementById("log-size");
const MOST = 2000000; // characters that are kept in the page

let stream = null;
let at = 0;
let atBottom = true;
let waiting = "";
let added = 0;

function bytes(count) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (count < 1024) return (unit === "B" ? count : count.toFixed(1)) + " " + unit;
    count /= 1024;
  }
  return count.toFixed(1) + " GiB";
}

function draw() {
  const text = waiting;
  waiting = "";
  if (!text) return;
  log.append(text);
  let length = log.textContent.length;
  while (length > MOST && log.childNodes.length > 1) {
    length -= log.firstChild.textContent.length;
    log.firstChild.remove();
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

function over(text) {
  stop();
  delete log.dataset.live;
  say(text);
}

function stop() {
  if (stream) stream.close();
  stream = null;
}

function start() {
  if (stream || !log.dataset.live) return;
  const address = new URL(log.dataset.live, location.href);
  if (at) address.searchParams.set("from", at);
  stream = new EventSource(address);
  stream.addEventListener("log", (event) => {
    const piece = JSON.parse(event.data);
    at = piece.bytes;
    size.textContent = bytes(at);
    add(piece.text);
  });
  stream.addEventListener("state", (event) => {
    const { words } = JSON.parse(event.data);
    if (log.dataset.state === words) return;
    const first = log.dataset.state === undefined;
    log.dataset.state = words;
    say("The run is " + words + ".");
    if (!first || words !== document.getElementById("run-state").textContent.trim()) refresh();
  });
  stream.addEventListener("end", () => {
    over("The run is over; this is the whole log.");
    refresh();
  });
  stream.addEventListener("gone", () => over("You are signed out, or may not see this run any more. Reload the page."));
  stream.onerror = () => {
    if (stream && stream.readyState === EventSource.CLOSED) {
      over("The log cannot be followed now. Reload the page to go on.");
    } else {
      say("The connection was lost; trying again.");
    }
  };
  stream.onopen = () => { if (log.dataset.state) say("The run is " + log.dataset.state + "."); };
}

if (log && log.dataset.live) {
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
