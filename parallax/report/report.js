// Sortable, filterable tables. Without scripts the page is whole; this only adds to it.
const sources = JSON.parse(document.getElementById("table-library").textContent);
const { default: DataTable } = await import(sources.module);

const filter = document.getElementById("filter");
const grids = [];

function enliven(table) {
  if (table.dataset.live) return;
  table.dataset.live = "yes";
  const many = table.tBodies[0].rows.length > Number(table.dataset.page);
  const grid = new DataTable(table, {
    autoWidth: false,
    info: false,
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: many ? "paging" : null },
    order: [],
    paging: many,
    pageLength: Number(table.dataset.page),
  });
  grids.push(grid);
  apply(grid);
}

// The words of the filter are looked for in the method alone where there is such a column, else in the whole row.
function apply(grid) {
  const column = grid.column((_, __, header) => header.textContent.trim() === "Method");
  if (column.any()) column.search(filter.value).draw();
  else grid.search(filter.value).draw();
}

const near = new IntersectionObserver(
  (seen) => seen.filter((one) => one.isIntersecting).forEach((one) => enliven(one.target)),
  { rootMargin: "600px" },
);
document.querySelectorAll("table.grid").forEach((table) => near.observe(table));

filter.addEventListener("input", () => grids.forEach(apply));
document.getElementById("filters").hidden = false;

addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((part) => { part.open = true; });
});
document.documentElement.dataset.ready = "yes";
