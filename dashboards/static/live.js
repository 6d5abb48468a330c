// Keeps the newest exchanges on the page up to date. The page is whole without it.
(() => {
  "use strict";
  const place = document.getElementById("live");
  const parts = ["day", "list"];
  if (!place || !place.dataset.fragment) return;

  const PERIOD = 4000;
  const LONGEST = 60000;
  let on = sessionStorage.getItem("live") !== "off";
  let version = "";
  let wait = PERIOD;
  let timer = 0;
  let known = ids(document);

  const button = document.createElement("button");
  button.type = "button";
  button.className = "switch";
  const said = document.createElement("span");
  said.className = "unseen";
  said.setAttribute("role", "status");
  place.append(button, said);
  button.addEventListener("click", () => {
    on = !on;
    sessionStorage.setItem("live", on ? "on" : "off");
    wait = PERIOD;
    show("");
    plan(on ? 0 : null);
  });
  document.addEventListener("visibilitychange", () => plan(document.hidden ? null : 0));

  function ids(root) {
    return new Set(Array.from(root.querySelectorAll("tr[data-id]"), (row) => row.dataset.id));
  }

  function show(trouble) {
    button.setAttribute("aria-pressed", String(on));
    button.textContent = trouble || (on ? "Live" : "Paused");
    button.title = on ? "New exchanges appear by themselves; press to pause" : "Press to see new exchanges as they come";
    place.classList.toggle("is-on", on && !trouble);
  }

  function plan(delay) {
    clearTimeout(timer);
    if (on && delay !== null && !document.hidden) timer = setTimeout(look, delay);
  }

  async function look() {
    // Who marks a text with the pointer wants to keep it under the pointer.
    if (!document.getSelection().isCollapsed) return plan(PERIOD);
    try {
      const headers = version ? { "if-none-match": version } : {};
      const answer = await fetch(place.dataset.fragment, { headers, cache: "no-store", credentials: "same-origin" });
      if (answer.status === 200) {
        version = answer.headers.get("etag") || "";
        replace(await answer.text());
      } else if (answer.status !== 304) {
        throw new Error(String(answer.status));
      }
      wait = PERIOD;
      show("");
    } catch {
      wait = Math.min(2 * wait, LONGEST);
      show("Not reachable");
    }
    plan(wait);
  }

  function replace(html) {
    // The server escaped every text in it; DOMParser runs no script, and the policy allows none.
    const next = new DOMParser().parseFromString(html, "text/html");
    const fresh = [...ids(next)].filter((id) => !known.has(id));
    for (const id of fresh) next.querySelector(`tr[data-id="${CSS.escape(id)}"]`).classList.add("fresh");
    for (const part of parts) swap(document.getElementById(part), next.getElementById(part));
    if (fresh.length) said.textContent = fresh.length === 1 ? "1 new exchange" : `${fresh.length} new exchanges`;
    known = ids(document);
  }

  function swap(old, next) {
    if (!old || !next || old.innerHTML === next.innerHTML) return;
    const held = document.activeElement;
    const inside = old.contains(held);
    const path = inside ? held.getAttribute("href") : null;
    const open = old.querySelector("details")?.open;
    old.replaceChildren(...next.childNodes);
    if (open) old.querySelector("details").open = true;
    if (path) [...old.querySelectorAll("a")].find((link) => link.getAttribute("href") === path)?.focus({ preventScroll: true });
    else if (inside && held.tagName === "SUMMARY") old.querySelector("summary")?.focus({ preventScroll: true });
  }

  show("");
  plan(PERIOD);
})();
