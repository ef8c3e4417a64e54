document.querySelectorAll("table.sortable").forEach(table => {
  const heads = [...table.querySelectorAll("thead th")], body = table.tBodies[0];
  const value = (row, column) => {
    const text = row.cells[column].dataset.sort, number = Number(text);
    return text !== "" && !isNaN(number) ? number : text;
  };
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") === "descending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    [...body.rows].sort((a, b) => {
      const x = value(a, column), y = value(b, column);
      const order = typeof x === "string" || typeof y === "string" ? String(y).localeCompare(String(x)) : y - x;
      return up ? -order : order;
    }).forEach(row => body.append(row));
  }));
});
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach(part => { part.open = true; });
});
addEventListener("afterprint", () => folded.forEach(part => { part.open = false; }));
