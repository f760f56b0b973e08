// Looks again every few seconds while the page is seen: what is marked data-live (each with an id)
// is replaced by what it is then. Without JavaScript the page is as of when it was opened.
const EVERY_MS = 4000;

async function look() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const now = new DOMParser().parseFromString(await answer.text(), "text/html");
  // Another tab has changed the organization: what is here belongs to the one before.
  if (now.body.dataset.org !== document.body.dataset.org) return;
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = now.getElementById(part.id);
    if (!fresh || part.contains(document.activeElement)) continue;
    if (part.innerHTML !== fresh.innerHTML) part.innerHTML = fresh.innerHTML;
  }
}

setInterval(() => { look().catch(() => {}); }, EVERY_MS);
