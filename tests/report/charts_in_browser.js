/* What the tests of charts ask of a page. */

const pictures = [...document.querySelectorAll("figure.chart > .drawing")];

const textsOf = (drawing) => [...drawing.querySelectorAll("text")];

/* Texts that stick out of their picture. */
function outside() {
  return pictures.flatMap((drawing) => textsOf(drawing).filter((text) => {
    const box = text.getBBox(), size = drawing.viewBox.baseVal;
    return box.x < -1 || box.y < -1 || box.x + box.width > size.width + 1 || box.y + box.height > size.height + 1;
  }).map((text) => text.textContent));
}

/* Pairs of texts of which one lies on the other; lines may be as close as 3 units, which letters do not use. */
function overlapping() {
  const meet = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y + 3 < b.y + b.height && b.y + 3 < a.y + a.height;
  return pictures.flatMap((drawing) => {
    const texts = textsOf(drawing).map((text) => [text.getBBox(), text.textContent]);
    return texts.flatMap(([box, words], at) =>
      texts.slice(at + 1).filter(([other]) => meet(box, other)).map(([, more]) => [words, more]));
  });
}

function luminance(colour) {
  const parts = colour.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255);
  const [r, g, b] = parts.map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/* Texts below 4.5 to 1 on the page, marks below 3 to 1. */
function faint() {
  const ground = getComputedStyle(document.body).backgroundColor;
  const weak = (parts, least) => parts.filter((part) => contrast(getComputedStyle(part).fill, ground) < least);
  return pictures.flatMap((drawing) => {
    const filled = [...drawing.querySelectorAll(".mark path")].filter((path) => /^var/.test(path.getAttribute("fill")));
    return [...weak(textsOf(drawing), 4.5), ...weak(filled, 3)].map((part) => `${part.outerHTML.slice(0, 80)} ${getComputedStyle(part).fill}`);
  });
}

const names = () => pictures.map((drawing) => [...drawing.querySelectorAll(".mark")].map((mark) => mark.getAttribute("aria-label")));

/* How many marks of each picture the tab key reaches. */
const stops = () => pictures.map((drawing) => drawing.querySelectorAll(".mark[tabindex='0']").length);

/* The marks of the first picture whose marks are links. */
const bars = () => [...pictures.find((drawing) => drawing.querySelector("a.mark")).querySelectorAll(".mark")];

const tip = () => document.querySelector(".tip");

const over = (mark) => mark.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
