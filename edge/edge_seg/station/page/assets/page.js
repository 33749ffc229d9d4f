// Strings from films and senders are only ever inserted as text: nothing here parses them as HTML.
"use strict";

const EVERY_MS = 1000, CORRECTIONS_EVERY_MS = 30000;
const ZOOMS = [1, 1.5, 2, 3, 4, 6];
const STATES = { done: "done", check: "to check", rejected: "rejected", failed: "failed" };
const at = (id) => document.getElementById(id);
let chosen = null;  // number of the film that the user chose; otherwise the newest is shown
let shown = null;  // what the viewer shows, or is about to
let listed = [];  // numbers of the films in the table, for the keyboard
let zoom = 1;
const left_out = new Set();  // names of structures whose outlines the user switched off, for all films

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// The page polls every second; unchanged elements stay, so that nothing is read out twice and no selection is lost.
function say(id, text, className) {
  if (at(id).textContent !== text) at(id).textContent = text;
  if (className !== undefined) at(id).className = className;
}

function renewed(id, made_of, make) {
  const key = JSON.stringify(made_of);
  if (at(id).dataset.key === key) return;
  at(id).dataset.key = key;
  at(id).replaceChildren(...make());
}

const list = (id, texts) => renewed(id, texts, () => texts.map((text) => element("li", text)));
const known = (entries) => entries.filter(([, value]) => value !== null && value !== undefined && value !== "");

function pairs(id, entries) {
  const rows = known(entries);
  renewed(id, rows, () => rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}

function tiles(id, entries) {
  const rows = known(entries);
  renewed(id, rows, () => rows.map(([name, value, className]) => {
    const tile = element("div");
    tile.append(element("dt", name), element("dd", value, className));
    return tile;
  }));
}

const number = (value, digits, unit = "") => (value === null || value === undefined ? "" : value.toFixed(digits) + unit);
const area = (one) => (!one ? "" : one.cm2 !== null ? number(one.cm2, 0, " cm²") : `${one.pixels.toLocaleString()} px`);
const words = (name) => name.replaceAll("_", " ");
const lungs = (film) => film.areas && (film.areas.whole_lung || film.areas.visible_lung || film.areas.own_lung);
const ratio = (film) => number(film.ratios && film.ratios.cardiothoracic, 2);
const trust = (film) => number(film.estimated_dice, 2) + (film.low_trust ? " low" : "");

function title(film) {
  const patient = film.patient;
  const named = patient ? [patient.name.replaceAll("^", " ").trim(), patient.id].filter(Boolean).join(", ") : "";
  return named || shortName(film);
}

// A camera frame is named by its microsecond, a received film by 45 digits: neither means anything to a reader.
function shortName(film) {
  if (film.source.startsWith("camera ")) return film.source + (film.frames > 1 ? ` × ${film.frames}` : "");
  if (film.name.length <= 24) return film.name;
  const stem = film.name.replace(/\.[^.]*$/, "");
  return stem.length > 24 ? `${stem.slice(0, 8)}\u2026${stem.slice(-8)}` : stem;
}

function clock(film) {
  const when = new Date(film.taken_at || film.recorded_at);
  const day = when.toDateString() === new Date().toDateString() ? {} : { day: "numeric", month: "short" };
  return when.toLocaleString([], { ...day, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

const moment = (text) => text && new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

function showFilm(film) {
  say("film-name", film ? title(film) : "No film yet");
  at("film-state").hidden = !film;
  if (film) say("film-state", STATES[film.status], `badge ${film.status}`);
  showPicture(film);
  showCorrection(film);
  list("film-notes", film ? film.notes : []);
  const outlined = new Set([...at("structures").children].map((one) => one.dataset.name));
  tiles("film-numbers", !film ? [] : [
    ["Estimated Dice", trust(film), film.low_trust ? "check" : ""],
    ["Cardiothoracic ratio", ratio(film)],
    ...Object.entries(film.areas || {}).filter(([name]) => !outlined.has(name)).map(([name, one]) => [words(name), area(one)]),
  ]);
  pairs("film-facts", !film ? [] : [
    ["Taken", moment(film.taken_at)],
    ["Recorded", moment(film.recorded_at)],
    ["Frame age", number(film.age_s, 2, " s")],
    ["Name", film.name],
    ["From", film.source],
  ]);
}

// --- corrected outlines ---

let corrections = null;  // those on the device, `null` if none can be made
let current = null;  // the film that is shown
let opened = null;  // scripts of the editor, once needed

async function askCorrections() {
  try {
    const answer = await fetch("corrections", { cache: "no-store" });
    corrections = answer.ok ? await answer.json() : null;
  } catch (error) {
    corrections = null;
  }
}

function showCorrection(film) {
  current = film;
  const can = corrections && film && film.layers && (film.status === "done" || film.status === "check");
  at("correction").hidden = !can;
  if (!can) return;
  const known = corrections.films[film.number];
  say("corrected", known ? `${known.verdict}, by ${known.who}, ${moment(known.when)}` : "");
}

// The films that teach a model most, numbered as in the list of films.
function showNext(films) {
  const next = (corrections ? corrections.next : []).map((one) => [one, films.find((film) => film.number === one.number)]).filter(([, film]) => film);
  at("next").hidden = next.length === 0;
  say("next-worth", corrections ? corrections.worth : "");
  renewed("next-films", next.map(([one, film]) => [one, film.number]), () => next.map(([one, film]) => {
    const made = element("li"), button = element("button", title(film));
    button.type = "button";
    button.addEventListener("click", () => { chosen = film.number; refresh(); });
    made.append(button, ` ${one.why}`);
    return made;
  }));
}

function script(name) {
  return new Promise((resolve, reject) => {
    const made = element("script");
    made.src = name;
    made.addEventListener("load", resolve);
    made.addEventListener("error", () => reject(new Error(`${name} could not be loaded`)));
    document.head.append(made);
  });
}

async function correct() {
  const film = current;
  if (at("correction").hidden || document.getElementById("editor")?.open) return;
  try {
    if (!opened) {
      const style = element("link");
      [style.rel, style.href] = ["stylesheet", "editor.css"];
      document.head.append(style);
      opened = script("outline.js").then(() => script("editor.js"));
    }
    await opened;
    await Editor.open(film.number, title(film), () => askCorrections().then(refresh));
  } catch (error) {
    if (typeof Editor === "undefined") opened = null;
    say("corrected", error.message);
  }
}

at("correct").addEventListener("click", correct);

async function showPicture(film) {
  const wanted = film && (film.layers || film.overlay) ? film.number : null;
  if (wanted === shown && film) return;
  shown = wanted;
  if (wanted === null) {
    at("stage").hidden = at("zooms").hidden = true;
    at("no-picture").hidden = false;
    say("no-picture", film ? "There is no picture of this film." : "The first film appears here by itself.");
    drawOutlines(null, film);
    return;
  }
  // Picture and outlines change together: no film ever appears with another's outlines.
  const found = film.layers ? await layersOf(film) : await overlayOf(film);
  if (shown !== wanted) return;
  if (!found) { shown = undefined; return; }
  const picture = at("picture");
  picture.src = found.picture.src;
  picture.alt = found.outlines ? `${title(film)} with the outlines of its structures` : title(film);
  at("stage").style.setProperty("--ratio", found.picture.naturalWidth / found.picture.naturalHeight);
  at("stage").hidden = at("zooms").hidden = false;
  at("no-picture").hidden = true;
  drawOutlines(found.outlines, film);
}

async function loaded(address) {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  return picture;
}

async function layersOf(film) {
  try {
    const answer = fetch(`outlines/${film.number}`, { cache: "no-store" });
    const picture = await loaded(`film/${film.number}`);
    return { picture, outlines: await (await answer).json() };
  } catch (error) {
    return film.overlay ? overlayOf(film) : null;
  }
}

async function overlayOf(film) {
  try {
    return { picture: await loaded(`overlay/${film.number}`), outlines: null };
  } catch (error) {
    return null;
  }
}

function drawOutlines(outlines, film) {
  const drawn = outlines ? outlines.outlines : [];
  if (outlines) at("outlines").setAttribute("viewBox", `0 0 ${outlines.width} ${outlines.height}`);
  at("outlines").setAttribute("preserveAspectRatio", "none");
  // Rims first, so that none crosses a neighbour's line.
  at("outlines").replaceChildren(...drawn.map((one) => path(one, "rim")), ...drawn.map((one) => path(one, "line")));
  renewed("structures", drawn.map((one) => [one.name, area((film.areas || {})[one.name])]), () => drawn.map((one) => toggle(one, film)));
  markLeftOut();
}

function path(outline, className) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "path");
  made.setAttribute("d", outline.path);
  made.setAttribute("class", className);
  if (className === "line") {
    made.setAttribute("stroke", outline.colour);
    made.style.fill = outline.colour;
  }
  made.dataset.name = outline.name;
  return made;
}

function toggle(outline, film) {
  const button = element("button");
  button.type = "button";
  button.dataset.name = outline.name;
  const swatch = element("i");
  swatch.style.background = swatch.style.borderColor = outline.colour;
  button.append(swatch, element("span", outline.title), element("b", area((film.areas || {})[outline.name]) || "withheld"));
  button.addEventListener("click", () => leaveOut([outline.name], !left_out.has(outline.name)));
  return button;
}

function leaveOut(names, off) {
  for (const name of names) if (off) left_out.add(name); else left_out.delete(name);
  markLeftOut();
}

function markLeftOut() {
  for (const line of at("outlines").children) line.classList.toggle("off", left_out.has(line.dataset.name));
  for (const button of at("structures").children) button.setAttribute("aria-pressed", String(!left_out.has(button.dataset.name)));
}

const structureNames = () => [...at("structures").children].map((button) => button.dataset.name);

function zoomTo(wanted, x, y) {
  const frame = at("frame"), stage = at("stage");
  const window_of = frame.getBoundingClientRect();
  const [px, py] = [x ?? window_of.left + window_of.width / 2, y ?? window_of.top + window_of.height / 2];
  const before = stage.getBoundingClientRect();
  const held = [(px - before.left) / before.width, (py - before.top) / before.height];
  zoom = Math.min(ZOOMS.at(-1), Math.max(1, wanted));
  stage.style.setProperty("--zoom", zoom);
  frame.classList.toggle("zoomed", zoom > 1);
  const after = stage.getBoundingClientRect();
  frame.scrollBy(after.left + held[0] * after.width - px, after.top + held[1] * after.height - py);
}

const zoomIn = () => zoomTo(ZOOMS.find((one) => one > zoom) ?? zoom);
const zoomOut = () => zoomTo(ZOOMS.findLast((one) => one < zoom) ?? 1);
at("zoom-in").addEventListener("click", zoomIn);
at("zoom-out").addEventListener("click", zoomOut);
at("zoom-fit").addEventListener("click", () => zoomTo(1));
at("stage").addEventListener("dblclick", (event) => zoomTo(zoom > 1 ? 1 : 3, event.clientX, event.clientY));
at("frame").addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  zoomTo(zoom * Math.exp(-event.deltaY / 200), event.clientX, event.clientY);
}, { passive: false });

// Touch scrolls natively; a mouse drags the film.
at("frame").addEventListener("pointerdown", (event) => {
  if (event.pointerType !== "mouse" || event.button !== 0 || zoom === 1 || event.target === at("frame")) return;
  event.preventDefault();
  at("frame").focus({ preventScroll: true });
  const frame = at("frame");
  frame.classList.add("dragged");
  const move = (to) => frame.scrollBy(-to.movementX, -to.movementY);
  const drop = () => { frame.classList.remove("dragged"); window.removeEventListener("pointermove", move); };
  window.addEventListener("pointermove", move);
  window.addEventListener("pointerup", drop, { once: true });
});

function showRecent(all, current) {
  const films = at("only-checks").checked ? all.filter((film) => film.status !== "done") : all;
  listed = films.map((film) => film.number);
  at("no-films").hidden = films.length > 0;
  say("no-films", all.length ? "None to check." : "None yet.");
  at("films").parentElement.classList.toggle("measured", films.some((film) => lungs(film) && lungs(film).cm2 !== null));
  const focused = document.activeElement && document.activeElement.dataset.number;
  renewed("films", [films, current && current.number], () => films.map((film) => row(film, film === current)));
  if (focused) at("films").querySelector(`button[data-number="${Number(focused)}"]`)?.focus();
}

function row(film, isCurrent) {
  const made = element("tr"), name = element("td"), button = element("button", title(film));
  button.type = "button";
  button.title = film.name;
  button.dataset.number = film.number;
  if (isCurrent) button.setAttribute("aria-current", "true");
  name.append(button);
  const size = lungs(film);
  made.append(element("td", clock(film)), name, element("td", STATES[film.status], film.status),
    element("td", size && size.cm2 !== null ? area(size) : "", "lungs"), element("td", ratio(film)),
    element("td", number(film.estimated_dice, 2), film.low_trust ? "check" : ""));
  if (isCurrent) made.className = "current";
  made.addEventListener("click", () => { chosen = film.number; refresh(); });
  return made;
}

function step(by) {
  const place = listed.indexOf(chosen === null ? listed[0] : chosen);
  const next = listed[Math.min(listed.length - 1, Math.max(0, place + by))];
  if (next !== undefined) { chosen = next; refresh(); }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "INPUT") return;
  if (document.getElementById("editor")?.open) return;
  const pans = zoom > 1 && document.activeElement === at("frame");
  const names = structureNames();
  const does = { ...(pans ? {} : { ArrowDown: () => step(1), ArrowUp: () => step(-1) }),
    p: correct, "+": zoomIn, "=": zoomIn, "-": zoomOut, "0": () => zoomTo(1),
    o: () => leaveOut(names, names.some((name) => !left_out.has(name))),
    c: () => { at("only-checks").click(); }, n: () => { chosen = null; refresh(); } }[event.key];
  const digit = names[Number(event.key) - 1];
  if (does) { event.preventDefault(); does(); } else if (digit) leaveOut([digit], !left_out.has(digit));
});

at("only-checks").addEventListener("change", () => refresh());

function span(seconds) {
  const minutes = Math.floor(seconds / 60);
  return minutes < 1 ? `${Math.floor(seconds)} s` : minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
}

function showDevice(state) {
  const counts = state.films;
  pairs("health", [
    ["Films", `${counts.done} done, ${counts.rejected} rejected, ${counts.failed} failed`],
    ...state.sources.map((one) => [one.name, one.trouble || [
      one.waiting === null ? "" : `${one.waiting} waiting`,
      one.age_s === null ? "" : `last frame ${number(one.age_s, 1)} s ago`,
    ].filter(Boolean).join(", ") || "ok"]),
    ["Archive", state.outbox && `${state.outbox.sent} sent, ${state.outbox.waiting} waiting`],
    ["Running for", span(state.uptime_s)],
    ["Model", `${state.model.name} ${state.model.version}`],
    ["Lungs", state.lung],
    ["Runtime", `${state.runtime}, ${state.delegate}`],
    ["Free disk", state.free_bytes === null ? "" : `${(state.free_bytes / 1e9).toFixed(1)} GB`],
    ["Temperature", number(state.temperature_c, 0, " °C")],
    ["Slowed down", state.throttling && (state.throttling.now.join(", ") ||
      (state.throttling.start.length ? `earlier: ${state.throttling.start.join(", ")}` : "no"))],
    ["Board", state.board],
  ]);
}

async function refresh() {
  try {
    const answer = await fetch("state", { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const state = await answer.json();
    const film = state.recent.find((one) => one.number === chosen) || state.recent[0] || null;
    say("status", state.problems.length ? "needs somebody to look" : "running", state.problems.length ? "warn" : "good");
    say("notice", state.notice);
    list("problems", state.problems);
    showFilm(film);
    showRecent(state.recent, film);
    showNext(state.recent);
    showDevice(state);
    list("learning", state.learning);
    at("learned").hidden = state.learning.length === 0;
  } catch (error) {
    say("status", "no connection to the device", "bad");
  }
}

// The cookie is enough from now on: a token in the address bar gets photographed and copied.
if (location.search) history.replaceState(null, "", location.pathname);
askCorrections().then(refresh);
setInterval(refresh, EVERY_MS);
// New films arrive, and others may correct them too.
setInterval(askCorrections, CORRECTIONS_EVERY_MS);
