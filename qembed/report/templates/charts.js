"use strict";
/* Draws the charts of the page with Chart.js, from the JSON beside them. Colour is never the only sign. */

const PALETTES = {
  light: { text: "#1c2330", quiet: "#59626f", line: "#e4e7eb", ground: "#ffffff",
    series: ["#5a6472", "#1a56b8", "#b4500f", "#0d7268", "#7a3aa8", "#9c1c5e"],
    stages: ["#1a56b8", "#c9d0d9", "#8f99a6", "#e3b778", "#b98a4a", "#8a5a1c", "#d9dee4", "#b4500f"],
    up: "#1a56b8", down: "#b4500f" },
  dark: { text: "#e7eaee", quiet: "#a5adb8", line: "#2c323b", ground: "#14171c",
    series: ["#aab3bf", "#8ab6ff", "#f0a468", "#62c9bb", "#c79bf0", "#f08fbd"],
    stages: ["#5f97f0", "#4a525e", "#737d8b", "#8a6a35", "#b98a4a", "#e3b778", "#59626f", "#f0a468"],
    up: "#8ab6ff", down: "#f0a468" },
};
// Seven shapes and six colours: forty-two systems before a pair repeats.
const POINTS = ["circle", "rectRot", "triangle", "rect", "star", "crossRot", "rectRounded"];
const DASHES = [[], [6, 4], [2, 3], [9, 3, 2, 3], [1, 2], [12, 4]];
const STAGE_ORDER = ["found", "missed", "below", "not lifted", "demoted", "depth", "cut", "index"];
const drawn = [];
let printing = false;

function palette() {
  const dark = !printing && matchMedia("(prefers-color-scheme: dark)").matches;
  return dark ? PALETTES.dark : PALETTES.light;
}

const hue = (colours, at) => colours.series[at % colours.series.length];
const fixed = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));

/* 1, 2 or 5 times a power of ten, next to a value. */
function logTick(value, round) {
  const power = 10 ** Math.floor(Math.log10(value));
  const steps = [1, 2, 5, 10].map((step) => step * power);
  return round === Math.floor ? steps.findLast((step) => step <= value * 1.0001) : steps.find((step) => step >= value * 0.9999);
}

function axis(colours, title, more = {}) {
  return {
    title: { display: Boolean(title), text: title, color: colours.quiet },
    ticks: { color: colours.quiet, ...more.ticks },
    grid: { color: colours.line, ...more.grid },
    border: { display: false },
    ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== "ticks" && key !== "grid")),
  };
}

function options(colours, scales, more = {}) {
  const { plugins, ...rest } = more;
  return {
    animation: false, responsive: true, maintainAspectRatio: false,
    scales,
    plugins: {
      legend: { position: "bottom", align: "start", labels: { color: colours.text, usePointStyle: true, boxWidth: 8, boxHeight: 8, padding: 16 } },
      ...plugins,
    },
    ...rest,
  };
}

/* In the legend of lines: the line itself, with its dashes. */
const lineLegend = (colours) => ({ position: "bottom", align: "start", labels: { color: colours.text, boxWidth: 26, boxHeight: 0, padding: 16 } });

/* Intervals of points, the ring of the chosen one, and labels beside points. */
const marks = {
  id: "marks",
  afterDatasetsDraw(chart) {
    const { ctx, scales: { y } } = chart;
    const colours = palette();
    ctx.save();
    ctx.font = "12px system-ui, sans-serif";
    chart.data.datasets.forEach((set, index) => {
      chart.getDatasetMeta(index).data.forEach((element, at) => {
        const point = set.data[at];
        if (point.low === null || point.low === undefined) return;
        const x = element.x + 3 * (index - (chart.data.datasets.length - 1) / 2);  // apart where systems take as long
        ctx.strokeStyle = set.borderColor;
        ctx.lineWidth = 1.5;
        ctx.beginPath();
        ctx.moveTo(x, y.getPixelForValue(point.low));
        ctx.lineTo(x, y.getPixelForValue(point.high));
        ctx.stroke();
        if (point.chosen) {
          ctx.beginPath();
          ctx.arc(element.x, element.y, 10, 0, 2 * Math.PI);
          ctx.stroke();
        }
        ctx.fillStyle = colours.text;
        ctx.textAlign = "left";
        ctx.fillText(point.label.replace("depth ", ""), element.x + 8, element.y - 8);
      });
    });
    ctx.restore();
  },
};

/* Percentages within the parts of a stacked bar that have room for one. */
const shares = {
  id: "shares",
  afterDatasetsDraw(chart) {
    const { ctx } = chart;
    ctx.save();
    ctx.font = "12px system-ui, sans-serif";
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    chart.data.datasets.forEach((set, index) => {
      chart.getDatasetMeta(index).data.forEach((bar, at) => {
        const width = Math.abs(bar.x - bar.base);
        if (width < 34) return;
        ctx.fillStyle = readable(set.backgroundColor);
        ctx.fillText(`${(100 * set.data[at]).toFixed(0)} %`, (bar.x + bar.base) / 2, bar.y);
      });
    });
    ctx.restore();
  },
};

function readable(ground) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(ground.slice(at, at + 2), 16) / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.3 ? "#14171c" : "#ffffff";
}

const KINDS = {
  points(data, colours) {
    const xs = data.series.flatMap((entry) => entry.points.map((point) => point.x));
    const wide = data.unit === "ms" && Math.max(...xs) > 20 * Math.min(...xs);
    const ys = data.series.flatMap((entry) => entry.points.flatMap((point) => [point.y, point.low, point.high])).filter((value) => value !== null);
    return {
      type: "scatter",
      data: { datasets: data.series.map((entry) => ({
        label: entry.name, data: entry.points, showLine: entry.points.length > 1,
        borderColor: hue(colours, entry.at), backgroundColor: hue(colours, entry.at),
        pointStyle: POINTS[entry.at % POINTS.length], pointRadius: 5, borderWidth: 2, borderDash: DASHES[entry.at % DASHES.length],
      })) },
      options: options(colours, {
        x: axis(colours, data.x + (wide ? ", logarithmic" : ""), { type: wide ? "logarithmic" : "linear", grace: "5%", beginAtZero: true,
          ...(wide ? { min: logTick(Math.min(...xs) / 1.2, Math.floor), max: logTick(Math.max(...xs) * 1.2, Math.ceil) } : {}),
          ticks: { maxTicksLimit: 8, callback: (value) => value.toLocaleString("en") } }),
        y: axis(colours, data.y, { min: Math.max(0, Math.floor(20 * Math.min(...ys)) / 20), max: Math.min(1, Math.ceil(20 * Math.max(...ys)) / 20) }),
      }, { plugins: { tooltip: { callbacks: { label: ({ dataset, raw }) =>
        `${dataset.label}${raw.label ? `, ${raw.label}` : ""}: ${fixed(raw.y)}${raw.low === null ? "" : ` (${fixed(raw.low)} to ${fixed(raw.high)})`}, ${fixed(raw.x, data.unit === "ms" ? 1 : 0)} ${data.unit}` } } } }),
      plugins: [marks],
    };
  },

  stacked(data, colours) {
    return {
      type: "bar", rows: data.systems.length,
      data: { labels: data.systems, datasets: data.parts.map((part) => ({
        label: part.name, data: part.values, borderColor: colours.ground, borderWidth: 1,
        backgroundColor: colours.stages[STAGE_ORDER.indexOf(part.name)], barPercentage: 0.7, words: part.words,
      })) },
      options: options(colours, {
        x: axis(colours, "", { stacked: true, max: 1, ticks: { callback: (value) => `${Math.round(100 * value)} %` } }),
        y: axis(colours, "", { stacked: true, grid: { display: false }, ticks: { color: colours.text } }),
      }, { indexAxis: "y", plugins: { tooltip: { callbacks: { label: ({ dataset, raw }) => `${(100 * raw).toFixed(1)} % ${dataset.words}` } },
        legend: { position: "bottom", align: "start", labels: { color: colours.text, boxWidth: 14, boxHeight: 14, padding: 16 } } } }),
      plugins: [shares],
    };
  },

  difference(data, colours) {
    return {
      type: "bar",
      data: { labels: data.queries, datasets: [{ data: data.values, barPercentage: 1, categoryPercentage: 1,
        backgroundColor: data.values.map((value) => (value > 0 ? colours.up : colours.down)) }] },
      options: options(colours, {
        x: axis(colours, "queries, sorted by change", { ticks: { display: false }, grid: { display: false } }),
        y: axis(colours, data.y, { ticks: { callback: (value) => fixed(value, 1) } }),
      }, { onClick: (_, found) => found.length && document.dispatchEvent(new CustomEvent("open-query", { detail: { id: data.queries[found[0].index], right: data.at } })),
        plugins: { legend: { display: false }, tooltip: { callbacks: { label: ({ raw }) => fixed(raw) } } } }),
    };
  },

  histogram(data, colours) {
    const middle = data.edges.slice(1).map((edge, at) => (edge + data.edges[at]) / 2);
    const looks = { relevant: 1, "not relevant": 2, unjudged: 0 };
    const dashes = { relevant: 0, "not relevant": 1, unjudged: 2 };
    return {
      type: "line",
      data: { datasets: data.series.map((entry) => {
        const all = entry.counts.reduce((sum, value) => sum + value, 0);
        return { label: `${entry.name} (${all.toLocaleString("en")})`, data: entry.counts.map((value, at) => ({ x: middle[at], y: value / all })),
          borderColor: hue(colours, looks[entry.name]), backgroundColor: hue(colours, looks[entry.name]),
          borderDash: DASHES[dashes[entry.name]], borderWidth: 2, stepped: "middle", pointRadius: 0 };
      }) },
      options: options(colours, {
        x: axis(colours, data.x, { type: "linear", min: data.edges[0], max: data.edges[data.edges.length - 1], grid: { display: false } }),
        y: axis(colours, data.y, { beginAtZero: true, ticks: { callback: (value) => `${Math.round(100 * value)} %` } }),
      }, { interaction: { mode: "index", intersect: false }, plugins: { legend: lineLegend(colours), tooltip: { callbacks: { label: ({ dataset, raw }) => `${dataset.label}: ${(100 * raw.y).toFixed(1)} %` } } } }),
    };
  },

  lengths(data, colours) {
    const read = data.edges.map((edge) => data.limit === null || edge < data.limit);
    const set = (label, keep, colour) => ({ label, data: data.counts.map((value, at) => (keep(read[at]) ? value : null)),
      backgroundColor: colour, barPercentage: 1, categoryPercentage: 0.92, grouped: false });
    const sets = [set(data.limit === null ? "texts" : `read whole (up to ${data.limit} tokens)`, (whole) => whole, colours.series[1])];
    if (read.includes(false)) sets.push(set("truncated", (whole) => !whole, colours.series[2]));
    return {
      type: "bar", data: { labels: data.labels, datasets: sets },
      options: options(colours, {
        x: axis(colours, data.x, { grid: { display: false }, ticks: { maxRotation: 0, autoSkip: true } }),
        y: axis(colours, data.y, { beginAtZero: true }),
      }),
    };
  },

  grouped(data, colours) {
    return {
      type: "bar", rows: data.places.length * (0.4 + 0.5 * data.series.length),
      data: { labels: data.places, datasets: data.series.map((entry) => ({ label: entry.name, data: entry.values,
        backgroundColor: hue(colours, entry.at), borderColor: colours.ground, borderWidth: 1, pointStyle: "rect" })) },
      options: options(colours, {
        x: axis(colours, "", { min: 0, max: 1, ticks: { callback: (value) => `${Math.round(100 * value)} %` } }),
        y: axis(colours, "", { grid: { display: false }, ticks: { color: colours.text, autoSkip: false } }),
      }, { indexAxis: "y", plugins: { tooltip: { callbacks: { label: ({ dataset, raw }) => `${dataset.label}: ${raw === null ? "–" : (100 * raw).toFixed(0)} %` } } } }),
    };
  },

  lines(data, colours) {
    return {
      type: "line",
      data: { datasets: data.series.map((entry) => ({ label: entry.name,
        data: entry.values.map((value, at) => ({ x: (at + 0.5) * data.step, y: value })),
        borderColor: hue(colours, entry.at + 1), backgroundColor: hue(colours, entry.at + 1), borderDash: DASHES[entry.at % DASHES.length],
        borderWidth: 2, pointRadius: 0 })) },
      options: options(colours, {
        x: axis(colours, data.x, { type: "linear", min: 0, grid: { display: false } }),
        y: axis(colours, data.y, { beginAtZero: true }),
      }, { interaction: { mode: "index", intersect: false }, plugins: { legend: lineLegend(colours) } }),
    };
  },
};

function drawCharts() {
  const data = JSON.parse(document.getElementById("charts-data").textContent);
  for (const chart of drawn.splice(0)) chart.destroy();
  const colours = palette();
  Chart.defaults.font.family = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
  for (const figure of document.querySelectorAll("figure.chart[data-kind]")) {
    const { rows, ...config } = KINDS[figure.dataset.kind](data[figure.dataset.chart], colours);
    if (rows) figure.querySelector(".plot").style.height = `${Math.max(9, 5.5 + 2.4 * rows)}rem`;
    if (printing) config.options.devicePixelRatio = 2;
    drawn.push(new Chart(figure.querySelector("canvas"), config));
  }
}

function startCharts() {
  drawCharts();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
  addEventListener("beforeprint", () => { printing = true; drawCharts(); });
  addEventListener("afterprint", () => { printing = false; drawCharts(); });
}
