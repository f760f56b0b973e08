// Shows the next times while an automation is edited, and what a host has when it is chosen. Both come
// from the page that the buttons show, which this clicks for the visitor.
const form = document.querySelector("form[data-preview]");

if (form) {
  let timer = 0;
  let asking = null;

  const hide = (part) => part.querySelectorAll("[data-hide]").forEach((button) => { button.hidden = true; });

  async function ask(id) {
    if (asking) asking.abort();
    const mine = asking = new AbortController();
    const data = new URLSearchParams(new FormData(form));
    data.delete("prompt"); // long, and it does not decide when
    try {
      const answer = await fetch(form.dataset.preview, { method: "POST", body: data, signal: mine.signal });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of id === "where" ? ["where", "preview"] : ["preview"]) {
        const [old, fresh] = [document.getElementById(part), page.getElementById(part)];
        if (!old || !fresh) continue;
        const focus = old.contains(document.activeElement) ? document.activeElement.id : null;
        hide(fresh);
        old.replaceWith(fresh);
        if (focus) document.getElementById(focus)?.focus();
      }
    } catch (error) {
      if (error.name !== "AbortError") console.warn("no preview", error);
    }
  }

  hide(document);
  const schedule = form.querySelector(".schedule");
  const zone = form.elements.timezone;
  if (form.hasAttribute("data-new") && zone.value === "UTC") {
    zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
    if (zone.value !== "UTC") ask("preview");
  }
  schedule.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => ask("preview"), 250);
  });
  form.addEventListener("change", (event) => {
    if (event.target.name === "host") ask("where");
  });
}
