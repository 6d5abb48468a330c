// Keeps a part of the page up to date by server-sent events. The page is whole without it.
(() => {
  "use strict";
  const place = document.querySelector(".live[data-live]");
  const part = place && document.getElementById(place.dataset.part);
  if (!part || !("EventSource" in window)) return;

  let on = sessionStorage.getItem("live") !== "off";
  let source = null;
  let waiting = null;
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
    follow();
  });
  // A hidden page holds no connection: a browser has but six for one server.
  document.addEventListener("visibilitychange", follow);
  document.addEventListener("selectionchange", () => {
    if (waiting !== null && document.getSelection().isCollapsed) replace(waiting);
  });
  addEventListener("pagehide", () => source?.close());

  function ids(root) {
    return new Set(Array.from(root.querySelectorAll("tr[data-id]"), (row) => row.dataset.id));
  }

  function show(trouble) {
    button.setAttribute("aria-pressed", String(on));
    button.textContent = trouble || (on ? "Live" : "Paused");
    button.title = on ? "What is new appears by itself; press to pause" : "Press to see what is new as it comes";
    place.classList.toggle("is-on", on && !trouble);
  }

  function follow() {
    source?.close();
    source = null;
    show("");
    if (!on || document.hidden) return;
    source = new EventSource(place.dataset.live);
    source.addEventListener("open", () => show(""));
    source.addEventListener("message", (event) => replace(event.data));
    source.addEventListener("error", () => {
      if (source?.readyState !== EventSource.OPEN) show("Not reachable");
      // A refusal closes the source for good; the next look is by hand.
    });
  }

  function replace(html) {
    // Who marks a text with the pointer wants to keep it under the pointer.
    if (!document.getSelection().isCollapsed) { waiting = html; return; }
    waiting = null;
    // The server escaped every text in it; DOMParser runs no script, and the policy allows none.
    const next = new DOMParser().parseFromString(html, "text/html");
    const fresh = [...ids(next)].filter((id) => !known.has(id));
    const same = part.innerHTML.trim() === next.body.innerHTML.trim();
    if (same) return;
    for (const id of fresh) next.querySelector(`tr[data-id="${CSS.escape(id)}"]`).classList.add("fresh");
    swap(next.body);
    if (fresh.length) said.textContent = fresh.length === 1 ? "1 new exchange" : `${fresh.length} new exchanges`;
    known = ids(document);
  }

  function swap(next) {
    const held = document.activeElement;
    const inside = part.contains(held);
    const path = inside ? held.getAttribute("href") : null;
    const folds = [...part.querySelectorAll("details")].map((fold) => fold.open);
    const summary = [...part.querySelectorAll("summary")].indexOf(held);
    part.replaceChildren(...next.childNodes);
    part.querySelectorAll("details").forEach((fold, place) => { fold.open = folds[place] ?? fold.open; });
    if (path) [...part.querySelectorAll("a")].find((link) => link.getAttribute("href") === path)?.focus({ preventScroll: true });
    else if (summary >= 0) part.querySelectorAll("summary")[summary]?.focus({ preventScroll: true });
  }

  follow();
})();
