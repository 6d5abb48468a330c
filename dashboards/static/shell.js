// The shell: filters that apply when they are chosen, light and dark, and the keyboard.
// Every page works without it.
(() => {
  "use strict";

  for (const form of document.querySelectorAll("form[data-submits]")) {
    for (const part of form.querySelectorAll("[data-without-script]")) part.hidden = true;
    form.addEventListener("change", (event) => {
      if (event.target.name === "span") for (const fixed of form.querySelectorAll("[data-fixed]")) fixed.remove();
      apply(form);
    });
    form.addEventListener("submit", (event) => { event.preventDefault(); apply(form); });
  }

  function apply(form) {
    // What the page itself was asked for stays; an empty choice does not stand in the address.
    const query = new URLSearchParams(location.search);
    for (const name of ["span", "since", "until", "route", "model", "tenant", "before"]) query.delete(name);
    for (const [name, value] of new FormData(form)) if (value) query.set(name, value);
    const written = query.toString();
    location.assign(form.action.split("?")[0] + (written ? `?${written}` : ""));
  }

  for (const form of document.querySelectorAll("form[data-asks]")) {
    form.addEventListener("submit", (event) => { if (!confirm(form.dataset.asks)) event.preventDefault(); });
  }

  const theme = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  function isDark() { return root.dataset.theme ? root.dataset.theme === "dark" : dark.matches; }
  function name() { theme.textContent = isDark() ? "Light" : "Dark"; }
  if (theme) {
    theme.hidden = false;
    name();
    dark.addEventListener("change", name);
    theme.addEventListener("click", () => {
      const next = isDark() ? "light" : "dark";
      if ((next === "dark") === dark.matches) delete root.dataset.theme;
      else root.dataset.theme = next;
      const kept = root.dataset.theme;
      document.cookie = kept ? `theme=${kept}; path=/; max-age=31536000; samesite=lax` : "theme=; path=/; max-age=0; samesite=lax";
      name();
    });
  }

  let asked = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const key = event.key;
    if (asked) {
      asked = false;
      const link = document.querySelector(`.side a[data-key="${CSS.escape(key)}"]`);
      if (link) { event.preventDefault(); location.assign(link.href); }
      return;
    }
    if (key === "g") { asked = true; setTimeout(() => { asked = false; }, 1500); }
    else if (key === "?") document.getElementById("shortcuts")?.togglePopover();
    else if (key === "/") focusOn(document.querySelector("main input[type=search]"), event);
    else if (key === "j" || key === "k") step(key === "j" ? 1 : -1, event);
  });

  function typing(element) {
    return element instanceof HTMLElement && (element.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(element.tagName));
  }

  function focusOn(element, event) {
    if (!element) return;
    event.preventDefault();
    element.focus();
  }

  function step(by, event) {
    const links = [...document.querySelectorAll("main tbody th a[href], main [data-row] a[href]")];
    const at = links.indexOf(document.activeElement);
    focusOn(links[at < 0 ? (by > 0 ? 0 : links.length - 1) : at + by], event);
  }
})();
