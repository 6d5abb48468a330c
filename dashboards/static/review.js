// One key a label. Every button works by pointer too, and without this file.
(() => {
  "use strict";
  const form = document.getElementById("judgement");
  let sent = false;

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || sent) return;
    const target = event.target;
    const text = target instanceof HTMLInputElement && target.type !== "checkbox";
    if (text || target instanceof HTMLSelectElement) return;
    const key = event.key === "Enter" && target.tagName !== "BUTTON" && target.tagName !== "A" ? "n" : event.key;
    if (key === "n" && form) {
      // Whoever chose a kind of harm has said that it is harmful.
      if (form.querySelector("input[name=labels]:checked")) press(form.querySelector("[data-press=h]"), event);
      return;
    }
    const wanted = document.querySelector(`[data-press="${CSS.escape(key)}"]`);
    if (wanted) press(wanted, event);
  }, true);

  function press(element, event) {
    event.preventDefault();
    event.stopImmediatePropagation();
    if (element.type !== "checkbox") sent = true;
    element.click();
  }
})();
