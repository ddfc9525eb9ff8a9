"use strict";
// Elements, and curves of actions. Texts are set as text, never as markup.
const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};

const curves = (() => {
  const draw = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  // The actions of an episode: values[step][component].
  const decode = (details) => {
    const bytes = Uint8Array.from(atob(details.actions), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const width = Math.max(details.width, 1);
    const steps = Math.floor(bytes.length / 4 / width);
    return Array.from({ length: steps }, (_, step) => Array.from(
      { length: width }, (_, index) => view.getFloat32(4 * (step * width + index), true)));
  };

  const number = (value) => {
    if (!Number.isFinite(value)) return String(value);
    const text = value.toFixed(Math.abs(value) >= 100 ? 1 : 3).replace(/\.?0+$/, "");
    return text.replace(/^-(?=0$)/, "").replace("-", "−");
  };

  // Lowest and highest value of each component in the episode, with 0 inside.
  const ranges = (values, width) => Array.from({ length: width }, (_, index) => {
    let [low, high] = [0, 0];
    for (const action of values) {
      if (!Number.isFinite(action[index])) continue;
      low = Math.min(low, action[index]);
      high = Math.max(high, action[index]);
    }
    return low === high ? [low - 1, high + 1] : [low, high];
  });

  // Each value is held for one control step.
  const path = (values, index, [low, high]) => {
    const y = (value) => (100 * (high - value) / (high - low)).toFixed(2);
    let text = "";
    let pen = "M";
    values.forEach((action, step) => {
      if (!Number.isFinite(action[index])) { pen = "M"; return; }
      text += `${pen}${step} ${y(action[index])}H${step + 1}`;
      pen = "L";
    });
    return text;
  };

  // A curve of one component; `marks` are vertical lines [step, class].
  const curve = (values, index, range, marks, label) => {
    const svg = draw("svg", {
      viewBox: `0 0 ${Math.max(values.length, 1)} 100`, preserveAspectRatio: "none", role: "img",
      class: "curve", "aria-label": label,
    });
    const zero = 100 * range[1] / (range[1] - range[0]);
    svg.append(draw("line", { x1: 0, x2: values.length, y1: zero, y2: zero, class: "zero" }));
    for (const [step, kind] of marks) {
      svg.append(draw("line", { x1: step, x2: step, y1: 0, y2: 100, class: kind }));
    }
    svg.append(draw("path", { d: path(values, index, range), class: "value" }));
    return svg;
  };

  // Name and unit of every component: those that the run stored, or the benchmark's.
  const labels = (details, known) => {
    const names = details.timeline ? details.timeline.action : known.map((entry) => entry.name);
    return Array.from({ length: details.width }, (_, index) => {
      const name = names[index] || `action ${index}`;
      const entry = known.find((candidate) => candidate.name === name) || {};
      return { name, unit: entry.unit || "", meaning: entry.meaning || "" };
    });
  };

  // A line of the list: name with unit, extremes, curve.
  const row = (label, range, svg) => make("div", { class: "component", title: label.meaning },
    make("span", { class: "label" }, make("b", {}, label.name),
      make("span", { class: "faint" }, label.unit ? ` [${label.unit}]` : "")),
    make("span", { class: "range faint" }, make("span", {}, number(range[1])),
      make("span", {}, number(range[0]))),
    svg);

  const table = (values, first, names) => make("div", { class: "scroll", tabindex: "0" },
    make("table", { class: "numbers" },
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "step"),
        ...names.map(({ name }) => make("th", { scope: "col", class: "right" }, name)))),
      make("tbody", {}, ...values.map((action, step) => make("tr", {},
        make("td", {}, String(first + step + 1)),
        ...action.map((value) => make("td", { class: "right" }, number(value))))))));

  return { decode, ranges, curve, labels, row, table };
})();
