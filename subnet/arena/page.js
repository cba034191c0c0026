"use strict";
// Which measurement and which stated number the heat maps show.
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`)?.value;
const heatMaps = [...document.querySelectorAll(".heat")];

function show() {
  const measure = Number(chosen("measure") ?? 0);
  for (const legend of document.querySelectorAll(".legend")) legend.hidden = Number(legend.dataset.measure) !== measure;
  for (const table of heatMaps) {
    const used = new Set();
    for (const cell of table.querySelectorAll("td")) {
      const [text, small, level] = cell.dataset.m.split(";")[measure].split("|");
      cell.className = `l${level}`;
      cell.textContent = text;
      if (small) cell.appendChild(document.createElement("small")).textContent = small;
      if (text !== "–") used.add(cell.cellIndex);
    }
    for (const row of table.rows)
      for (const cell of row.cells) cell.hidden = cell.cellIndex > 0 && !used.has(cell.cellIndex);
    const section = table.closest(".map");
    section.hidden = section.dataset.stated !== (chosen("stated") ?? section.dataset.stated);
    section.querySelector(".wrap").hidden = used.size === 0;
    section.querySelector(".nothing").hidden = used.size > 0;
  }
}
for (const input of document.querySelectorAll("input")) input.addEventListener("change", show);
show();

// The ranking by any of its columns; the heat maps follow its order.
function sort(heading) {
  const column = heading.cellIndex, body = document.querySelector(".ranking tbody");
  const text = heading.classList.contains("text");
  const ascending = heading.ariaSort === "none" ? text : heading.ariaSort === "descending";
  const value = (row) => row.cells[column].dataset.v;
  const sign = ascending ? 1 : -1;
  const rows = [...body.rows].sort((one, other) =>
    sign * (text ? value(one).localeCompare(value(other)) : Number(value(one)) - Number(value(other))));
  body.append(...rows);
  for (const other of heading.parentElement.cells) other.ariaSort = "none";
  heading.ariaSort = ascending ? "ascending" : "descending";
  const order = new Map(rows.map((row, place) => [row.dataset.rule, place]));
  for (const table of heatMaps)
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(
      (one, other) => order.get(one.dataset.rule) - order.get(other.dataset.rule)));
}
for (const button of document.querySelectorAll(".ranking button"))
  button.addEventListener("click", () => sort(button.closest("th")));
