// The timeline of an episode: its chain of sub-tasks, its actions, and a part for every chunk.
const timeline = (() => {
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const steps = (from, to) => (from === to ? `at step ${from}` : `steps ${from} to ${to}`);

  // When the stages began and ended, in control steps, from the calls at which they were asked for.
  const stages = (details, count) => {
    const found = new Map();
    if (!details.timeline) return found;
    for (const { call, stage, text } of details.timeline.instructions) {
      const begin = details.timeline.calls[call];
      if (!found.has(stage)) found.set(stage, { begin, call, text });
    }
    const ordered = [...found.entries()].sort((a, b) => a[0] - b[0]);
    ordered.forEach(([, entry], index) => {
      const next = ordered[index + 1];
      entry.end = next ? next[1].begin : count;
      entry.calls = (next ? next[1].call : details.timeline.calls.length) - entry.call;
    });
    return found;
  };

  const SYMBOLS = { solved: "✓", failed: "×", "not reached": "·", error: "!" };

  const chain = (details, when) => {
    if (details.chain.length === 0) return null;
    const item = (task, stage) => {
      const time = when.get(stage);
      const told = time ? time.text : task.sentence;
      const words = time ? `${steps(time.begin, time.end)}, ${plural(time.calls, "call")}` : "";
      return make("li", { class: task.outcome.replace(" ", "-") },
        make("span", { class: "sign", "aria-hidden": "true" }, SYMBOLS[task.outcome]),
        make("span", {}, make("b", {}, task.name.replaceAll("_", " ")),
          told ? `: “${told}”` : "", make("br"),
          make("span", { class: "faint" },
            [task.outcome === "failed" ? "not solved" : task.outcome, words]
              .filter(Boolean).join(", "))));
    };
    return make("section", {}, make("h3", {}, "The chain"),
      make("ol", { class: "chain" }, ...details.chain.map(item)));
  };

  // One image cut out of a file of predicted futures; the file has a row per camera.
  const tile = (file, grid, row, column, label) => {
    const image = make("img", { loading: "lazy", decoding: "async", src: file, alt: label });
    const box = make("div", { class: "tile" }, image);
    box.style.aspectRatio = `${row.width} / ${row.height}`;
    image.addEventListener("load", () => {
      image.style.width = `${100 * image.naturalWidth / row.width}%`;
      image.style.left = `${-100 * (grid.left + column * grid.pitch) / row.width}%`;
      image.style.top = `${-100 * row.top / row.height}%`;
      // The last column is missing where nothing was observed after the actions.
      const there = grid.left + column * grid.pitch + row.width <= image.naturalWidth;
      if (!there) box.replaceChildren(make("span", { class: "faint" }, "no image"));
    });
    image.addEventListener("error", () => {
      box.replaceChildren(make("span", { class: "faint" }, "The image is not beside this file."));
    });
    return box;
  };

  const futures = (details, call, from, to) => {
    const file = details.futures[call];
    if (file === undefined) return null;
    const source = file.startsWith("data:") ? file : "./" + file;
    const grid = details.timeline && details.timeline.futures;
    if (!grid) {
      return make("div", { class: "scroll", tabindex: "0" }, make("img", {
        loading: "lazy", src: source, alt: "observed, predicted, observed afterwards" }));
    }
    const heads = [`observed at step ${from}`, "predicted", `observed at step ${to}`];
    const camera = (row, index) => {
      const name = details.timeline.cameras[index] || `camera ${index}`;
      return make("div", { class: "camera" }, ...heads.map((head, column) => make("figure", {},
        tile(source, grid, row, column, `${name}, ${head}`),
        make("figcaption", {}, make("b", {}, head), ` ${name}`))));
    };
    return make("div", { class: "futures" }, ...grid.rows.map(camera));
  };

  const remarks = (list) => (list.length === 0 ? null : make("ul", { class: "remarks" },
    ...list.map(({ kind, text }) => make("li", {}, make("b", {}, kind), `: ${text}`))));

  // The part of one call: what was told, seen and predicted, the actions, the remarks.
  const chunk = (episode, call, seek) => {
    const { details, values, ranges, labels, calls } = episode;
    const [from, to] = [calls[call], calls[call + 1] ?? values.length];
    const played = values.slice(from, to);
    const told = details.timeline.instructions.filter((entry) => entry.call <= call).at(-1);
    const body = make("div", { class: "components" }, ...labels.map((label, index) => curves.row(
      label, ranges[index],
      curves.curve(played, index, ranges[index], [], `${label.name}, ${steps(from, to)}`))));
    const numbers = make("details", {}, make("summary", {}, "Numbers"));
    numbers.addEventListener("toggle", () => {
      if (numbers.children.length === 1) numbers.append(curves.table(played, from, labels));
    });
    const own = details.remarks.filter((remark) => remark.call === call);
    return make("li", { class: "chunk", id: `chunk-${call}` },
      make("div", { class: "name" },
        make("h4", {}, `Call ${call}, ${steps(from, to)}`), seek ? seek(from) : null),
      told ? make("p", { class: "told" }, `“${told.text}”`) : null,
      futures(details, call, from, to), remarks(own), body, numbers);
  };

  // All actions of the episode, a line for each component; lines mark calls and stages.
  const overview = (episode, when) => {
    const { values, ranges, labels, calls } = episode;
    if (values.length === 0) return null;
    const begins = new Set([...when.values()].map(({ begin }) => begin));
    const marks = calls.filter((step) => step > 0)
      .map((step) => [step, begins.has(step) ? "stage" : "call"]);
    const rows = labels.map((label, index) => curves.row(label, ranges[index],
      curves.curve(values, index, ranges[index], marks, `${label.name} over the episode`)));
    const text = calls.length > 0
      ? `${plural(values.length, "control step")} from left to right; thin lines are calls of the `
        + `policy${begins.size > 1 ? ", thick ones begin a sub-task" : ""}.`
      : `${plural(values.length, "control step")} from left to right. This run was recorded by a `
        + "version that did not store when the policy was called.";
    return make("section", { class: "overview" }, make("h3", {}, "Actions"),
      make("p", { class: "faint" }, text), make("div", { class: "components" }, ...rows));
  };

  // Without stored calls: the images and remarks that name one.
  const unplaced = ({ details, calls }) => {
    const known = new Set([...Object.keys(details.futures).map(Number),
      ...details.remarks.map(({ call }) => call)]);
    const rest = [...known].filter((call) => call >= calls.length).sort((a, b) => a - b);
    return rest.map((call) => make("li", { class: "chunk" }, make("h4", {}, `Call ${call}`),
      futures(details, call, "", ""),
      remarks(details.remarks.filter((remark) => remark.call === call))));
  };

  // Everything about an episode; `seek` makes the button that shows a step in the video.
  const render = (details, known, seek) => {
    const values = curves.decode(details);
    const calls = details.timeline ? details.timeline.calls : [];
    const episode = {
      details, values, calls, ranges: curves.ranges(values, details.width),
      labels: curves.labels(details, known),
    };
    const when = stages(details, values.length);
    const hz = details.timeline ? details.timeline.control_hz : 0;
    const button = seek && hz > 0 ? (step) => seek(step / hz) : null;
    const chunks = [...calls.map((_, call) => chunk(episode, call, button)), ...unplaced(episode)];
    return [
      details.problem ? make("p", { class: "warning" }, `No actions: ${details.problem}`) : null,
      chain(details, when), overview(episode, when),
      chunks.length === 0 ? null : make("section", {}, make("h3", {}, "Chunk by chunk"),
        make("ol", { class: "chunks" }, ...chunks)),
    ].filter((part) => part !== null);
  };

  return { render };
})();
