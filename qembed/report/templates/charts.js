"use strict";
/* Charts are in the page as SVG. This shows the numbers of a mark on hover and focus, walks the marks of a chart by keyboard, and
opens the query of a bar. */

function startCharts() {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);
  const hide = () => { tip.hidden = true; };
  const show = (mark) => {
    tip.textContent = mark.getAttribute("aria-label");
    tip.style.left = "0";  // else its place would limit its width
    tip.hidden = false;
    const place = mark.getBoundingClientRect();
    const left = Math.min(place.left + place.width / 2 - tip.offsetWidth / 2, document.documentElement.clientWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(8, left) + scrollX}px`;
    const above = place.top - tip.offsetHeight - 8;
    tip.style.top = `${(above > 0 ? above : place.bottom + 8) + scrollY}px`;
  };
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  for (const drawing of document.querySelectorAll(".drawing")) {
    const marks = [...drawing.querySelectorAll(".mark")];
    for (const mark of marks) {
      const title = mark.querySelector("title");
      mark.setAttribute("aria-label", title.textContent);
      title.remove();  // else the browser shows it a second time
    }
    const move = (to) => {
      const next = marks[Math.min(Math.max(to, 0), marks.length - 1)];
      for (const mark of marks) mark.setAttribute("tabindex", mark === next ? "0" : "-1");
      next.focus();
    };
    drawing.addEventListener("keydown", (event) => {
      const at = marks.indexOf(document.activeElement);
      const steps = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: marks.length - 1 };
      if (at < 0 || !(event.key in steps)) return;
      event.preventDefault();
      event.stopPropagation();  // the arrows of the explorer
      move(steps[event.key]);
    });
    drawing.addEventListener("click", (event) => {
      const link = event.target.closest("a.mark");
      if (!link) return;
      event.preventDefault();
      const id = decodeURIComponent(link.getAttribute("href").slice("#q=".length));
      document.dispatchEvent(new CustomEvent("open-query", { detail: { id, right: Number(drawing.closest("figure").dataset.right) } }));
    });
    drawing.addEventListener("pointerover", (event) => { const mark = event.target.closest(".mark"); mark ? show(mark) : hide(); });
    drawing.addEventListener("focusin", (event) => show(event.target));
    drawing.addEventListener("pointerleave", hide);
    drawing.addEventListener("focusout", hide);
  }
}
