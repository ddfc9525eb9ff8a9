"use strict";
(() => {
  const dialog = document.getElementById("episode");
  const cells = [...document.querySelectorAll("a.cell")];
  if (!dialog || cells.length === 0) return;
  const keyOf = (cell) => decodeURIComponent(cell.hash.slice(1));
  const byKey = new Map(cells.map((cell) => [keyOf(cell), cell]));
  let shown = null;

  // The folder of this file, quoted for a shell; its name alone if the browser does not tell.
  const folder = () => {
    if (location.protocol !== "file:") return dialog.dataset.run;
    const path = decodeURIComponent(location.pathname.replace(/\/[^/]*$/, ""));
    return /^[\w./+-]+$/.test(path) ? path : "'" + path.replaceAll("'", "'\\''") + "'";
  };

  const again = (how, key) => {
    const ways = {
      replay: ["Replay:", "udvla-eval replay " + folder() + " " + key + " --video videos"],
      resume: ["Run it again:", "udvla-eval resume " + folder()],
    };
    if (!ways[how]) return [];
    const text = document.createElement("p");
    text.textContent = ways[how][0];
    const code = document.createElement("code");
    code.className = "command";
    code.textContent = ways[how][1];
    return [text, code];
  };

  const film = (link) => {
    const video = document.createElement("video");
    video.controls = true;
    video.preload = "metadata";
    video.src = link.getAttribute("href");
    video.addEventListener("error", () => {
      const text = document.createElement("p");
      text.textContent = "The video is not next to this file: " + link.getAttribute("href");
      video.replaceWith(text);
    });
    return video;
  };

  const show = (key) => {
    const row = document.getElementById(key);
    const cell = byKey.get(key);
    if (!row || !cell) return;
    shown = cell;
    document.getElementById("episode-name").textContent = key;
    const heads = row.closest("table").querySelectorAll("thead th");
    const facts = document.createElement("dl");
    [...row.cells].forEach((value, index) => {
      if (index === 0 || value.textContent.trim() === "") return;
      const name = document.createElement("dt");
      name.textContent = heads[index].textContent;
      const text = document.createElement("dd");
      text.append(...[...value.childNodes].map((node) => node.cloneNode(true)));
      facts.append(name, text);
    });
    const instruction = document.createElement("p");
    instruction.textContent = cell.closest("[data-instruction]").dataset.instruction;
    const link = row.querySelector("a.video");
    document.getElementById("episode-facts").replaceChildren(
      instruction, ...(link ? [film(link)] : []), ...again(row.dataset.again, key), facts);
    if (!dialog.open) dialog.showModal();
    history.replaceState(null, "", "#" + encodeURIComponent(key));
  };

  const step = (by) => {
    const next = cells[cells.indexOf(shown) + by];
    if (next) show(keyOf(next));
  };

  // One cell of a grid is in the tab order; arrow keys reach the others.
  const roam = (grid) => {
    const own = [...grid.querySelectorAll("a.cell")];
    own.forEach((cell, index) => { cell.tabIndex = index === 0 ? 0 : -1; });
    grid.addEventListener("keydown", (event) => {
      const at = own.indexOf(document.activeElement);
      const perLine = () => {
        const top = own[0].offsetTop;
        const next = own.findIndex((cell) => cell.offsetTop !== top);
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

  document.querySelectorAll(".cells").forEach(roam);
  document.addEventListener("click", (event) => {
    const cell = event.target.closest("a.cell");
    if (!cell) return;
    event.preventDefault();
    show(keyOf(cell));
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.target.tagName === "VIDEO") return;
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
  });
  document.getElementById("episode-before").addEventListener("click", () => step(-1));
  document.getElementById("episode-after").addEventListener("click", () => step(1));
  dialog.addEventListener("close", () => {
    dialog.querySelectorAll("video").forEach((video) => video.pause());
    history.replaceState(null, "", location.pathname + location.search);
    if (shown) shown.focus();
  });

  const grids = document.getElementById("grids");
  document.querySelectorAll(".filter").forEach((filter) => { filter.hidden = false; });
  document.querySelectorAll("button[data-kind]").forEach((button) => {
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(pressed));
      grids.classList.toggle("hide-" + button.dataset.kind, !pressed);
    });
  });
  const asked = () => show(decodeURIComponent(location.hash.slice(1)));
  window.addEventListener("hashchange", asked);
  asked();
})();
