// What every page does with JavaScript and does not need it for: copying to the clipboard, and not
// sending a form twice.
for (const button of document.querySelectorAll("button[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  if (!source || !navigator.clipboard) continue;
  const name = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = name; }, 2000);
  });
}

// A form that is on its way is not sent again by a second click. One that was stopped can be sent
// again after a while, one on a page that came back from the browser's memory at once.
const SENT_FOR_MS = 15000;
const ready = (form) => form.removeAttribute("aria-busy");
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.getAttribute("aria-busy")) {
    event.preventDefault();
    return;
  }
  form.setAttribute("aria-busy", "true");
  setTimeout(() => ready(form), SENT_FOR_MS);
});
addEventListener("pageshow", () => document.querySelectorAll("form[aria-busy]").forEach(ready));
