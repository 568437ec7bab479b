"use strict";
/* Tables that the reader sorts: a button in each head, the value in data-sort. */

function sortBy(table, column, ascending) {
  const body = table.tBodies[0];
  const key = (row) => {
    const cell = row.cells[column];
    const text = cell.dataset.sort ?? cell.textContent;
    const value = Number(text);
    return text !== "" && !Number.isNaN(value) ? value : text.toLowerCase();
  };
  const compare = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
  const rows = [...body.rows].map((row, at) => ({ row, at, key: key(row) }));
  rows.sort((a, b) => (ascending ? 1 : -1) * compare(a.key, b.key) || a.at - b.at);
  body.append(...rows.map(({ row }) => row));
}

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.setAttribute("aria-sort", "none");
    head.querySelector("button").addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const numbers = head.classList.contains("n");
      const ascending = now === "none" ? !numbers : now === "descending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sortBy(table, column, ascending);
    });
  });
}
