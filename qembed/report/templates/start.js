"use strict";
/* Starts what the page has. */

for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
startCharts();
if (document.getElementById("explorer-data")) {
  unpack("explorer-data").then((data) => {
    new Explorer(data);
    if (document.getElementById("judging")) new Judge(data);
    document.documentElement.dataset.ready = "yes";
  }, () => {
    const words = "This browser cannot unpack the queries; any browser of 2023 or later can.";
    document.getElementById("queries").append(make("p", { class: "warning" }, words));
  });
} else document.documentElement.dataset.ready = "yes";
