"use strict";
// Shows one step of the recording in every view at once. All that is shown was worked out beforehand and stands in
// the data; going back is going to the step before.

const data = JSON.parse(byId("data").textContent);
const LARGEST_TABLE = { rows: 16, columns: 10 }; // beyond it numbers give way to a picture
const SMALLEST_GRAPH = 0.72; // of its size: below, its letters could not be read
const ADDRESS_PAUSE = 350; // ms: Safari lets a page change its address 100 times in 30 s, and a held key steps oftener
const FEW = 24; // so many numbers are seen as they are, and need no statistics
const still = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

let current = 0; // number of the step that is shown, from 0
let timer = null; // while it plays
let addressTimer = null; // while the address must not change again
let panelOfKeys = null; // the panel that was reached by Tab, to be scrolled by keys
let palette = {}; // the colours of the heat maps, as the style sheet has them for light or dark

// --- small helpers

function byId(id) {
  return document.getElementById(id);
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function format(value) {
  const x = Number(value); // the words for what JSON cannot say are numbers again
  if (Number.isNaN(x)) return value === "NaN" ? "NaN" : String(value);
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "-∞";
  if (Number.isInteger(x) && Math.abs(x) < 1e6) return String(x);
  const size = Math.abs(x);
  return size < 1e-3 || size >= 1e6 ? x.toExponential(3).replace(/\.?0*e/, "e") : String(Number(x.toPrecision(4)));
}

function scrollIntoPanel(target, panel, { width = 0, height = 0, sideways = toMiddle } = {}) {
  // The width and the height are those of what always stands at the left or the top and covers what is scrolled.
  if (!target || !panel) return;
  const inner = target.getBoundingClientRect();
  const outer = panel.getBoundingClientRect();
  const left = sideways(inner.left, inner.right, outer.left + width, outer.right);
  const top = toMiddle(inner.top, inner.bottom, outer.top + height, outer.bottom);
  const isFar = Math.abs(top) > 2 * panel.clientHeight;
  if (left || top) panel.scrollBy({ left, top, behavior: still.matches || isFar ? "instant" : "smooth" });
}

function toMiddle(start, end, outerStart, outerEnd) {
  if (start >= outerStart && end <= outerEnd) return 0;
  const isWider = end - start > outerEnd - outerStart;
  return isWider ? start - outerStart : (start + end - outerStart - outerEnd) / 2; // its start, or all of it in the middle
}

function toEnd(start, end, outerStart, outerEnd) {
  if (start >= outerStart && end <= outerEnd) return 0;
  return Math.min(start - outerStart, end - outerEnd); // as much as there is room for of what stands before it
}

// --- where we are: the step in the address, in the controls, and who may change it

function show(index) {
  current = Math.min(Math.max(index, 0), data.steps.length - 1);
  const step = data.steps[current];
  showControls(step);
  showStep(step);
  showCode(step);
  showGraph(step);
  showDerived();
  showValues(step);
}

function go(index) {
  show(index);
  showAddress();
}

function showAddress() {
  if (addressTimer || location.protocol === "about:") return; // a frame has no address
  history.replaceState(null, "", `#step=${current + 1}`);
  addressTimer = setTimeout(catchUp, ADDRESS_PAUSE);
}

function catchUp() {
  addressTimer = null;
  if (stepOfAddress() !== current) showAddress();
}

function stepOfAddress() {
  const found = /^#step=(\d+)$/.exec(location.hash);
  return found ? Number(found[1]) - 1 : null;
}

function showControls(step) {
  const last = data.steps.length - 1;
  byId("slider").value = current + 1;
  byId("slider").setAttribute("aria-valuetext", `${current + 1} of ${last + 1}, ${step.phase} ${step.op}`);
  byId("counter").textContent = `${current + 1} / ${last + 1}`;
  setDisabled(["first", "back"], current === 0);
  setDisabled(["forward", "last"], current === last);
}

function setDisabled(ids, isDisabled) {
  // Not `disabled`, which would take the focus away from whoever steps with the keyboard.
  for (const id of ids) byId(id).setAttribute("aria-disabled", isDisabled);
}

function play() {
  if (current === data.steps.length - 1) go(0);
  timer = setInterval(tick, Number(byId("speed").value));
  showPlaying();
}

function tick() {
  go(current + 1);
  if (current === data.steps.length - 1) pause();
}

function pause() {
  clearInterval(timer);
  timer = null;
  showPlaying();
}

function showPlaying() {
  const button = byId("play");
  button.setAttribute("aria-label", timer ? "Pause" : "Play");
  button.classList.toggle("is-playing", timer !== null);
}

function moveTo(index) {
  if (timer) pause();
  go(index);
}

function onLink(event) {
  const link = event.target.closest('a[href^="#step="]');
  if (!link) return;
  event.preventDefault(); // in the frame of a notebook the link would lead to the notebook's own address
  moveTo(Number(link.getAttribute("href").slice("#step=".length)) - 1);
}

function onKey(event) {
  const moves = {
    ArrowLeft: () => moveTo(current - 1),
    ArrowRight: () => moveTo(current + 1),
    Home: () => moveTo(0),
    End: () => moveTo(data.steps.length - 1),
    " ": () => event.repeat || (timer ? pause() : play()),
  };
  const move = moves[event.key];
  const isShortcut = event.ctrlKey || event.altKey || event.metaKey || event.shiftKey;
  if (!move || isShortcut || hasOwnUse(event.target, event.key)) return;
  event.preventDefault();
  move();
}

function hasOwnUse(target, key) {
  if (target.matches("select")) return true;
  if (key === " ") return target.matches("button, a, summary");
  if (target !== panelOfKeys) return target.matches("input");
  return key.startsWith("Arrow") ? target.scrollWidth > target.clientWidth : target.scrollHeight > target.clientHeight;
}

function onFocus(event) {
  // Whoever clicks into a panel means to step on; only whoever goes there by Tab means to scroll it.
  panelOfKeys = event.target.matches(".scroll:focus-visible") ? event.target : null;
}

// --- this step: sentence, formulas, tensors

function showStep(step) {
  const title = byId("step-title");
  const module = step.module ? ` in ${step.module}` : "";
  title.replaceChildren(element("span", { class: "phase" }, step.phase), ` ${step.op}${module}`);
  byId("step-panel").dataset.phase = step.phase;
  byId("sentence").textContent = step.sentence;
  byId("formulas").replaceChildren(...step.formulas.map(formulaBlock));
  const roles = [...new Set(step.tensors.map((tensor) => tensor.role))];
  byId("tensors").replaceChildren(...roles.map((role) => tensorGroup(role, step.tensors)));
  if (step.leftOut) byId("tensors").append(element("p", { class: "quiet" }, `… and ${step.leftOut} more operands, which are left out here.`));
  letTabReachWhatScrolls();
}

function letTabReachWhatScrolls() {
  for (const region of byId("tensors").querySelectorAll(".scroll")) {
    const scrolls = region.scrollWidth > region.clientWidth || region.scrollHeight > region.clientHeight;
    region.tabIndex = scrolls ? 0 : -1;
  }
}

function formulaBlock(formula) {
  const symbols = element("code", { class: "symbols" }, formula.symbols);
  const block = element("div", { class: "formula" }, symbols);
  if (formula.numbers !== formula.symbols) block.append(element("code", { class: "numbers" }, formula.numbers));
  if (formula.reaches) block.append(element("span", { class: "reaches" }, formula.reaches));
  return block;
}

function tensorGroup(role, tensors) {
  const figures = tensors.filter((tensor) => tensor.role === role).map(tensorFigure);
  return element("section", { class: "group" }, element("h3", {}, role), element("div", { class: "figures" }, ...figures));
}

function tensorFigure(tensor) {
  const array = data.arrays[tensor.array];
  const isLarge = array.rows.length > LARGEST_TABLE.rows || array.columns.length > LARGEST_TABLE.columns;
  const figure = element("figure", {}, isLarge ? picture(tensor, array) : scrolledTable(tensor, array));
  if (isLarge) figure.prepend(captionOf("figcaption", tensor, array));
  figure.append(legend(array));
  if (array.part) figure.append(element("p", { class: "part" }, `shown: ${array.part}`));
  if (isLarge) figure.append(numbersOnDemand(tensor, array));
  if (array.statistics.size > FEW || array.statistics.NaN || array.statistics.infinite) figure.append(statistics(array));
  return figure;
}

function captionOf(tag, tensor, array) {
  const caption = element(tag, {}, element("code", {}, tensor.name), ` ${array.shape} ${array.dtype}`);
  if (tensor.note) caption.append(element("span", { class: "note" }, tensor.note));
  return caption;
}

function scrolledTable(tensor, array) {
  const label = `${tensor.name} ${array.shape} ${tensor.note}`.trim();
  return element("div", { class: "scroll", role: "group", "aria-label": label }, numberTable(tensor, array));
}

function numberTable(tensor, array) {
  const table = element("table", { class: "tensor" }, captionOf("caption", tensor, array));
  const hasRowNames = array.rows.some((name) => name);
  if (array.columns.length > 1) {
    const heads = array.columns.map((name) => element("th", { scope: "col" }, name));
    table.append(element("thead", {}, element("tr", {}, ...(hasRowNames ? [element("td")] : []), ...heads)));
  }
  const limit = largest(array);
  const rows = array.values.map((values, i) => {
    const name = hasRowNames ? [element("th", { scope: "row" }, array.rows[i])] : [];
    return element("tr", {}, ...name, ...values.map((value) => numberCell(value, limit)));
  });
  table.append(element("tbody", {}, ...rows));
  if (!array.columns.length || !array.rows.length) table.append(element("tbody", {}, element("tr", {}, element("td", {}, "no elements"))));
  return table;
}

function numberCell(value, limit) {
  const cell = element("td", { title: String(value) }, format(value));
  const colour = colourOf(value, limit);
  cell.style.backgroundColor = css(colour);
  cell.style.color = css(inkOn(colour));
  return cell;
}

function numbersOnDemand(tensor, array) {
  const details = element("details", {}, element("summary", {}, "numbers"));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(scrolledTable(tensor, array));
    letTabReachWhatScrolls();
  });
  return details;
}

function statistics(array) {
  const list = element("dl", { class: "statistics" });
  for (const name of ["min", "max", "mean", "std", "norm", "zeros", "NaN", "infinite"]) {
    const value = array.statistics[name];
    const isNews = value !== undefined && !(value === 0 && (name === "NaN" || name === "infinite"));
    if (!isNews || array.statistics.size === 1) continue;
    const ofAll = name === "zeros" ? ` of ${array.statistics.size}` : "";
    list.append(element("div", {}, element("dt", {}, name), element("dd", {}, format(value) + ofAll)));
  }
  if (array.statistics.NaN || array.statistics.infinite) list.append(element("div", {}, element("dt", {}, "the first five of the finite values")));
  return list;
}

// --- colours: blue below zero, orange above, the paper at zero; ink for what is not finite

function readPalette() {
  for (const name of ["zero", "negative", "positive", "ink"]) {
    const probe = byId("sentence");
    probe.style.color = `var(--${name})`;
    palette[name] = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
    probe.style.color = "";
  }
}

function largest(array) {
  const sizes = [array.statistics.min, array.statistics.max].map((value) => Math.abs(Number(value)));
  return Math.max(...sizes.filter(Number.isFinite), 0);
}

function colourOf(value, limit) {
  const x = Number(value);
  if (!Number.isFinite(x)) return palette.ink;
  const end = x < 0 ? palette.negative : palette.positive;
  const share = limit > 0 ? Math.min(Math.abs(x) / limit, 1) : 0;
  return palette.zero.map((zero, i) => Math.round(zero + share * (end[i] - zero)));
}

function inkOn(colour) {
  const [black, white] = [[0, 0, 0], [255, 255, 255]]; // nothing less is legible on colours of middle brightness
  return contrast(colour, black) >= contrast(colour, white) ? black : white;
}

function contrast(a, b) {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

function luminance(colour) {
  const [r, g, b] = colour.map((part) => (part / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function css(colour) {
  return `rgb(${colour.join(" ")})`;
}

function legend(array) {
  const limit = largest(array);
  const bar = element("span", { class: "bar" });
  const key = element("p", { class: "legend" }, format(-limit), bar, format(limit));
  if (array.statistics.NaN || array.statistics.infinite) key.append(element("span", { class: "swatch" }), "not finite");
  key.hidden = limit === 0 || array.statistics.size === 1;
  return key;
}

function picture(tensor, array) {
  const rows = array.rows.length;
  const columns = array.columns.length;
  const cell = Math.max(4, Math.min(12, Math.floor(420 / columns)));
  const words = `Heat map of ${tensor.name} ${array.shape}, ${rows} by ${columns} values; the numbers are below`;
  const canvas = element("canvas", { width: columns, height: rows, role: "img", "aria-label": words });
  canvas.style.width = `${columns * cell}px`;
  canvas.style.height = `${rows * cell}px`;
  paint(canvas, array);
  const readout = element("p", { class: "readout", "aria-hidden": "true" }, " ");
  canvas.addEventListener("pointermove", (event) => (readout.textContent = under(event, canvas, tensor, array)));
  canvas.addEventListener("pointerleave", () => (readout.textContent = " "));
  return element("div", { class: "picture" }, canvas, readout);
}

function paint(canvas, array) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const limit = largest(array);
  array.values.flat().forEach((value, i) => image.data.set([...colourOf(value, limit), 255], 4 * i));
  context.putImageData(image, 0, 0);
}

function under(event, canvas, tensor, array) {
  const box = canvas.getBoundingClientRect();
  const row = Math.floor(((event.clientY - box.top) / box.height) * canvas.height);
  const column = Math.floor(((event.clientX - box.left) / box.width) * canvas.width);
  const value = array.values[row]?.[column];
  const index = [array.rows[row], array.columns[column]].filter((part) => part).join(", ");
  return value === undefined ? " " : `${tensor.name}[${index}] = ${format(value)}`;
}

// --- the user's code

function drawCode() {
  const firsts = stepsByLine();
  byId("code").replaceChildren(...data.files.map((file, i) => codeOfFile(file, i, firsts)));
}

function stepsByLine() {
  const firsts = new Map();
  data.steps.forEach((step, i) => {
    for (const [line] of step.marks.slice(0, 1)) if (!firsts.has(`${step.file}:${line}`)) firsts.set(`${step.file}:${line}`, i);
  });
  return firsts;
}

function codeOfFile(file, number, firsts) {
  const block = element("div", { class: "file" }, element("h3", {}, file.name));
  if (!file.parts.length) block.append(element("p", { class: "quiet" }, "Its source is not at hand."));
  for (const part of file.parts) {
    const lines = part.map(([line, text]) => codeLine(`code-${number}-${line}`, line, text, firsts.get(`${number}:${line}`)));
    block.append(element("div", { class: "lines" }, ...lines));
  }
  return block;
}

function codeLine(id, label, text, step) {
  const name = step === undefined ? label : element("a", { href: `#step=${step + 1}`, title: `to step ${step + 1}` }, label);
  const code = element("code", {}, text);
  return element("div", { class: "line", id }, element("span", { class: "number" }, name), code);
}

function showCode(step) {
  for (const line of byId("code").querySelectorAll(".line.is-current")) {
    line.classList.remove("is-current");
    line.lastChild.textContent = line.lastChild.textContent; // without the mark
  }
  for (const [number, start, end] of step.marks) markPart(byId(`code-${step.file}-${number}`), start, end);
  const width = byId("code").querySelector(".number")?.offsetWidth ?? 0;
  scrollIntoPanel(byId("code").querySelector("mark"), byId("code"), { width, sideways: toEnd });
}

function markPart(line, start, end) {
  if (!line) return;
  const text = [...line.lastChild.textContent]; // whole characters, as Python counts them
  const parts = [text.slice(0, start), text.slice(start, end), text.slice(end)].map((part) => part.join(""));
  line.lastChild.replaceChildren(parts[0], element("mark", {}, parts[1]), parts[2]);
  line.classList.add("is-current");
}

// --- the graph: what is done, what is now, what is still to come

const boxes = [...byId("graph").querySelectorAll(".tg-box")].map((box) => ({
  box,
  nodes: numbersOf(box.dataset.nodes),
  told: ["value", "grad"].map((label) => textsBeside(box, label)),
}));
const arrows = [...byId("graph").querySelectorAll(".tg-arrow")].map((arrow) => ({
  arrow,
  from: numbersOf(arrow.dataset.from),
  to: numbersOf(arrow.dataset.to),
}));
const madeAt = new Map(); // node -> the step that makes it; a leaf is there from the start
const sentAt = new Map(); // node -> the step that sends its gradient on
const arrivedAt = new Map(); // node -> the step after which the first of its gradient is there
const completeAt = new Map(); // node -> the step after which all of it is

function numbersOf(text) {
  return (text || "").split(" ").filter(Boolean).map(Number);
}

function textsBeside(box, label) {
  const texts = [...box.querySelectorAll("text")].filter((text) => text.previousElementSibling.textContent === label);
  return texts.map((text) => ({ text, words: text.textContent }));
}

function indexNodes() {
  for (const value of data.values) {
    madeAt.set(value.node, value.made ?? -1);
    for (const { step } of value.gradients) {
      arrivedAt.set(value.node, Math.min(step, arrivedAt.get(value.node) ?? step));
      completeAt.set(value.node, Math.max(step, completeAt.get(value.node) ?? step));
    }
  }
  data.steps.forEach((step, i) => step.phase === "backward" && sentAt.set(step.node, i));
}

function isPast(times, nodes) {
  return nodes.some((node) => (times.get(node) ?? Infinity) <= current);
}

function areAllPast(times, nodes) {
  // What never comes is known not to come at the end. A constant has no nodes, and is there from the start.
  return nodes.every((node) => (times.get(node) ?? data.steps.length - 1) <= current);
}

function tell(texts, isThere) {
  for (const { text, words } of texts) text.textContent = isThere ? words : "–";
}

function showGraph(step) {
  for (const { box, nodes, told } of boxes) {
    const isCurrent = nodes.includes(step.node);
    box.classList.toggle("is-current", isCurrent);
    box.classList.toggle("is-ahead", nodes.length > 0 && !isPast(madeAt, nodes));
    box.classList.toggle("has-gradient", isPast(arrivedAt, nodes));
    tell(told[0], areAllPast(madeAt, nodes));
    tell(told[1], areAllPast(completeAt, nodes));
    if (isCurrent) scrollIntoPanel(box, byId("graph"));
  }
  for (const { arrow, from, to } of arrows) {
    const isTaken = step.phase === "forward" || from.length > 0; // nothing goes back to a constant
    arrow.classList.toggle("is-current", isTaken && to.includes(step.node));
    arrow.classList.toggle("is-ahead", !isPast(madeAt, to));
    arrow.classList.toggle("has-gradient", isPast(sentAt, to) && isPast(arrivedAt, from));
  }
}

function fitGraph() {
  const svg = byId("graph").querySelector("svg");
  if (!svg) return;
  const natural = svg.viewBox.baseVal.width;
  const share = Math.min(1, Math.max(SMALLEST_GRAPH, byId("graph").clientWidth / natural));
  svg.style.width = `${Math.floor(natural * share)}px`;
}

function onBox(nodes) {
  const steps = stepsOf(nodes);
  const phase = data.steps[current].phase;
  const here = steps.filter((i) => data.steps[i].phase === phase);
  const choice = here.length ? here : steps;
  const later = choice.find((i) => i > current); // of a box that stands for several nodes each click is the next
  if (choice.length) moveTo(choice.includes(current) && later !== undefined ? later : choice[0]);
}

function stepsOf(nodes) {
  const own = data.steps.flatMap((step, i) => (nodes.includes(step.node) ? [i] : []));
  if (own.length) return own;
  const gradients = data.values.filter((value) => nodes.includes(value.node)).flatMap((value) => value.gradients);
  return gradients.map((each) => each.step); // a leaf makes nothing: its steps are those that its gradient comes from
}

// --- the derived source

const derivedLines = data.derived.map(([text, step], i) => derivedLine(text, step, i));

function derivedLine(text, step, i) {
  const line = codeLine(`derived-${i}`, i + 1, text, step ?? undefined);
  const isSameStep = i > 0 && step !== null && data.derived[i - 1][1] === step;
  if (isSameStep) line.querySelector("a").tabIndex = -1; // Tab stops once at each step
  return line;
}

function drawDerived() {
  byId("derived").replaceChildren(element("div", { class: "lines" }, ...derivedLines));
}

function showDerived() {
  for (const line of byId("derived").querySelectorAll(".is-current")) line.classList.remove("is-current");
  const own = derivedLines.filter((_, i) => data.derived[i][1] === current);
  for (const line of own) line.classList.add("is-current");
  scrollIntoPanel(own[0]?.firstChild, byId("derived")); // its number, so that nothing moves sideways
}

// --- all values and gradients

const valueRows = data.values.map((value) => ({ value, row: valueRow(value), shown: "" }));

function valueRow(value) {
  return element("tr", {}, valueName(value), element("td", {}, value.shape), element("td"), element("td"));
}

function drawValues() {
  byId("values").tBodies[0].append(...valueRows.map(({ row }) => row));
}

function showValues(step) {
  for (const each of valueRows) {
    const { value, row } = each;
    const isMade = (value.made ?? -1) <= current;
    const arrived = value.gradients.filter((gradient) => gradient.step <= current).length;
    row.classList.toggle("is-current", value.node === step.node);
    if (each.shown === `${isMade} ${arrived}`) continue; // of a thousand rows one or two change
    each.shown = `${isMade} ${arrived}`;
    row.cells[2].textContent = isMade ? value.summary : "–";
    row.cells[3].classList.toggle("gradient", arrived > 0);
    row.cells[3].replaceChildren(...gradientText(value.gradients[arrived - 1]));
  }
  const own = valueRows.find(({ row }) => row.classList.contains("is-current"));
  scrollIntoPanel(own?.row.firstChild, byId("values").parentElement, { height: byId("values").tHead.offsetHeight });
}

function valueName(value) {
  const step = value.made ?? value.gradients[0]?.step;
  const name = element("code", {}, value.name);
  const link = step === undefined ? name : element("a", { href: `#step=${step + 1}` }, name);
  return element("th", { scope: "row" }, link);
}

function gradientText(gradient) {
  if (!gradient) return ["–"];
  return gradient.part ? [gradient.summary, element("span", { class: "note" }, `${gradient.part} so far`)] : [gradient.summary];
}

// --- light and dark

function isDark() {
  const chosen = document.documentElement.style.colorScheme;
  return chosen ? chosen === "dark" : dark.matches;
}

function setScheme(scheme) {
  document.documentElement.style.colorScheme = scheme;
  showScheme();
}

function showScheme() {
  byId("theme").setAttribute("aria-pressed", isDark());
  readPalette();
  const wasOpen = [...byId("tensors").querySelectorAll("details")].map((details) => details.open);
  showStep(data.steps[current]);
  byId("tensors").querySelectorAll("details").forEach((details, i) => (details.open = wasOpen[i] ?? false));
}

// --- start

function listen() {
  byId("first").addEventListener("click", () => moveTo(0));
  byId("back").addEventListener("click", () => moveTo(current - 1));
  byId("play").addEventListener("click", () => (timer ? pause() : play()));
  byId("forward").addEventListener("click", () => moveTo(current + 1));
  byId("last").addEventListener("click", () => moveTo(data.steps.length - 1));
  byId("slider").addEventListener("input", (event) => moveTo(Number(event.target.value) - 1));
  byId("speed").addEventListener("change", () => timer && (pause(), play()));
  byId("theme").addEventListener("click", () => setScheme(isDark() ? "light" : "dark"));
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", onLink);
  document.addEventListener("focusin", onFocus);
  addEventListener("hashchange", () => stepOfAddress() !== null && moveTo(stepOfAddress()));
  dark.addEventListener("change", showScheme);
  for (const { box, nodes } of boxes) box.addEventListener("click", () => onBox(nodes));
  addEventListener("resize", fitGraph);
  addEventListener("resize", letTabReachWhatScrolls);
  listenForPrinter();
}

function listenForPrinter() {
  let before = "";
  addEventListener("beforeprint", () => {
    before = document.documentElement.style.colorScheme;
    setScheme("light");
  });
  addEventListener("afterprint", () => setScheme(before));
}

function start() {
  for (const part of document.querySelectorAll("[data-script]")) part.hidden = false;
  byId("graph-panel").hidden = !boxes.length;
  const forward = data.steps.filter((step) => step.phase === "forward").length;
  byId("slider").max = data.steps.length;
  byId("forward-pass").style.flexGrow = forward;
  byId("backward-pass").style.flexGrow = data.steps.length - forward;
  indexNodes();
  drawCode();
  drawDerived();
  drawValues();
  fitGraph();
  listen();
  readPalette();
  show(stepOfAddress() ?? 0);
  showScheme();
}

start();
