// The episodes of a run: grid, filter, dialog. `setUp` runs again when `view` replaces the page.
const store = new Map();
const waiting = new Map();
// Called by the files of timelines.
window.udvlaTimelines = (episodes) => {
  for (const [key, details] of Object.entries(episodes)) store.set(key, details);
};

const load = (file) => {
  if (!waiting.has(file)) {
    waiting.set(file, new Promise((resolve) => {
      const script = make("script", { src: file });
      script.addEventListener("load", resolve);
      script.addEventListener("error", resolve);
      document.body.append(script);
    }));
  }
  return waiting.get(file);
};

// The data of an episode, from the page or from a file beside it; null without one.
const detailsOf = async (key, file) => {
  if (!store.has(key) && file) await load(file);
  return store.get(key) || null;
};

const page = { shown: null, cells: [], byKey: new Map() };
const dialog = () => document.getElementById("episode");
const keyOf = (cell) => decodeURIComponent(cell.hash.slice(1));
const isVisible = (cell) => cell.offsetParent !== null;

// The folder of this file, quoted for a shell; its name alone if the browser does not tell.
const folder = () => {
  const path = location.protocol === "file:"
    ? decodeURIComponent(location.pathname.replace(/\/[^/]*$/, "")) : dialog().dataset.run;
  return /^[\w./+-]+$/.test(path) ? path : "'" + path.replaceAll("'", "'\\''") + "'";
};

const again = (how, key) => {
  const ways = {
    replay: ["Replay:", `udvla-eval replay ${folder()} ${key} --video videos`],
    resume: ["Run it again:", `udvla-eval resume ${folder()}`],
  };
  return ways[how]
    ? [make("p", {}, ways[how][0]), make("code", { class: "command" }, ways[how][1])] : [];
};

const film = (source) => {
  const video = make("video", { controls: "", preload: "metadata", src: source });
  video.addEventListener("error", () => {
    video.replaceWith(make("p", {}, `The video is not next to this file: ${source}`));
  });
  return video;
};

const facts = (row) => {
  const heads = row.closest("table").querySelectorAll("thead th");
  const list = make("dl");
  [...row.cells].forEach((value, index) => {
    if (index === 0 || value.textContent.trim() === "") return;
    const copies = [...value.childNodes].map((node) => node.cloneNode(true));
    list.append(make("dt", {}, heads[index].textContent), make("dd", {}, ...copies));
  });
  return make("section", {}, make("h3", {}, "Record"), list);
};

const seekIn = (video) => (seconds) => {
  const button = make("button", { type: "button" }, "Show in the video");
  button.addEventListener("click", () => {
    video.currentTime = seconds;
    video.scrollIntoView({ block: "nearest" });
  });
  return button;
};

// Fills the dialog; what is loaded from a file comes last.
const fill = async (row, cell, key) => {
  const parts = document.getElementById("episode-facts");
  const told = make("p", { class: "told" }, cell.closest("[data-instruction]").dataset.instruction);
  const outcome = make("p", { class: "outcome" }, cell.getAttribute("aria-label"));
  const head = [told, outcome, ...again(row.dataset.again, key)];
  parts.replaceChildren(...head, facts(row));
  const details = await detailsOf(key, row.dataset.timeline);
  if (page.shown !== cell) return;
  const link = row.querySelector("a.video");
  const video = link ? film((details && details.video) || link.getAttribute("href")) : null;
  if (video) told.before(video);
  if (details) {
    const known = JSON.parse(dialog().dataset.components);
    parts.lastChild.before(...timeline.render(details, known, video ? seekIn(video) : null));
  } else if (row.dataset.timeline) {
    const text = `The actions are not beside this file: ${row.dataset.timeline}`;
    parts.lastChild.before(make("p", { class: "warning" }, text));
  }
};

const show = (key) => {
  const row = document.getElementById(key);
  const cell = page.byKey.get(key);
  if (!row || !cell) return;
  page.shown = cell;
  document.getElementById("episode-name").textContent = key;
  fill(row, cell, key);
  if (!dialog().open) dialog().showModal();
  dialog().scrollTop = 0;
  history.replaceState(null, "", "#" + encodeURIComponent(key));
};

// To the next or previous cell that the filter leaves.
const step = (by) => {
  const cells = page.cells.filter((cell) => isVisible(cell) || cell === page.shown);
  const next = cells[cells.indexOf(page.shown) + by];
  if (next) show(keyOf(next));
};

// One cell of a grid is in the tab order; arrow keys reach the others.
const roam = (grid) => {
  const all = [...grid.querySelectorAll("a.cell")];
  all.forEach((cell, index) => { cell.tabIndex = index === 0 ? 0 : -1; });
  grid.addEventListener("keydown", (event) => {
    const own = all.filter(isVisible);
    const at = own.indexOf(document.activeElement);
    const perLine = () => {
      const next = own.findIndex((cell) => cell.offsetTop !== own[0].offsetTop);
      return next === -1 ? own.length : next;
    };
    const ways = {
      ArrowRight: () => at + 1, ArrowLeft: () => at - 1, Home: () => 0,
      End: () => own.length - 1, ArrowDown: () => at + perLine(), ArrowUp: () => at - perLine(),
    };
    const way = ways[event.key];
    if (at === -1 || !way) return;
    event.preventDefault();
    const next = own[Math.min(Math.max(way(), 0), own.length - 1)];
    own[at].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
};

// Shows the cells of the pressed kinds ("all" releases the others) in tasks with the words.
const filter = (kinds, words) => {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  let any = false;
  document.querySelectorAll("#grids .task").forEach((task) => {
    const name = task.querySelector(".name").textContent.toLowerCase();
    let shown = 0;
    task.querySelectorAll(".cell").forEach((cell) => {
      const isShown = wanted.every((word) => name.includes(word))
        && (kinds.size === 0 || [...kinds].some((kind) => cell.classList.contains(kind)));
      cell.hidden = !isShown;
      shown += isShown ? 1 : 0;
    });
    task.hidden = shown === 0;
    any = any || shown > 0;
  });
  document.getElementById("no-match").hidden = any;
};

const setUpFilter = () => {
  const buttons = [...document.querySelectorAll("button[data-kind]")];
  const text = document.getElementById("filter-text");
  const pressed = () => buttons.filter((button) => button.ariaPressed === "true");
  const apply = () => {
    const kinds = pressed().map((button) => button.dataset.kind).filter(Boolean);
    filter(new Set(kinds), text.value);
  };
  buttons.forEach((button) => button.addEventListener("click", () => {
    const isAll = button.dataset.kind === "";
    button.ariaPressed = String(isAll || button.ariaPressed !== "true");
    buttons.filter((other) => isAll ? other !== button : other.dataset.kind === "")
      .forEach((other) => { other.ariaPressed = "false"; });
    if (pressed().length === 0) buttons[0].ariaPressed = "true";
    apply();
  }));
  text.addEventListener("input", apply);
  document.querySelectorAll(".filter").forEach((part) => { part.hidden = false; });
};

const setUpDialog = () => {
  document.getElementById("episode-before").addEventListener("click", () => step(-1));
  document.getElementById("episode-after").addEventListener("click", () => step(1));
  dialog().addEventListener("keydown", (event) => {
    if (event.target.tagName === "VIDEO") return;
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
  });
  dialog().addEventListener("close", () => {
    dialog().querySelectorAll("video").forEach((video) => video.pause());
    history.replaceState(null, "", location.pathname + location.search);
    if (page.shown) page.shown.focus();
  });
};

const asked = () => show(decodeURIComponent(location.hash.slice(1)));

const setUp = () => {
  page.cells = [...document.querySelectorAll("a.cell")];
  page.byKey = new Map(page.cells.map((cell) => [keyOf(cell), cell]));
  if (!dialog()) return;
  const inline = document.getElementById("timelines");
  if (inline) window.udvlaTimelines(JSON.parse(inline.textContent));
  document.querySelectorAll(".cells").forEach(roam);
  setUpFilter();
  setUpDialog();
};

// What was filtered survives a new version of the page.
const state = () => ({
  words: document.getElementById("filter-text").value,
  kinds: [...document.querySelectorAll("button[data-kind][aria-pressed=true]")]
    .map((button) => button.dataset.kind),
});
const restore = ({ words, kinds }) => {
  waiting.clear();
  document.getElementById("filter-text").value = words;
  document.querySelectorAll("button[data-kind]").forEach((button) => {
    button.ariaPressed = String(kinds.includes(button.dataset.kind));
  });
  filter(new Set(kinds.filter(Boolean)), words);
};

document.addEventListener("click", (event) => {
  const cell = event.target.closest("a.cell");
  if (!cell) return;
  event.preventDefault();
  show(keyOf(cell));
});
window.addEventListener("hashchange", asked);
setUp();
asked();
