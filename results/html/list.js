// The list of runs: filter, sort. `setUp` runs again when the page is replaced.
const list = { sort: null, down: false };

const rows = () => [...document.querySelectorAll("#runs tbody tr")];

const applyFilter = () => {
  const words = document.getElementById("list-filter").value.toLowerCase().split(/\s+/);
  let any = false;
  rows().forEach((row) => {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    any = any || !row.hidden;
  });
  document.getElementById("no-match").hidden = any || rows().length === 0;
};

const valueOf = (row, column) => {
  const cell = row.cells[column];
  if (!cell) return "";
  return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
};

const compare = (a, b) => (typeof a === "number" && typeof b === "number"
  ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));

const applySort = () => {
  const heads = [...document.querySelectorAll("#runs thead th")];
  const column = heads.findIndex((head) => {
    const button = head.querySelector("button");
    return button && button.dataset.sort === list.sort;
  });
  if (column === -1) return;
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", list.down ? "descending" : "ascending");
  const sorted = rows().sort((a, b) => {
    const order = compare(valueOf(a, column), valueOf(b, column));
    return list.down ? -order : order;
  });
  document.querySelector("#runs tbody").append(...sorted);
};

const setUp = () => {
  document.getElementById("list-filter").addEventListener("input", applyFilter);
  document.querySelectorAll("#runs button[data-sort]").forEach((button) => {
    button.addEventListener("click", () => {
      list.down = list.sort === button.dataset.sort ? !list.down : false;
      list.sort = button.dataset.sort;
      applySort();
    });
  });
};

// What was typed and selected survives a new version of the page.
const state = () => ({
  words: document.getElementById("list-filter").value,
  chosen: [...document.querySelectorAll("#runs input:checked")].map((box) => box.value),
});
const restore = ({ words, chosen }) => {
  document.getElementById("list-filter").value = words;
  document.querySelectorAll("#runs input[name=run]").forEach((box) => {
    box.checked = chosen.includes(box.value);
  });
  applySort();
  applyFilter();
};

setUp();
