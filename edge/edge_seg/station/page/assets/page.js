// Texts of films and senders reach the page as text alone: nothing here parses them as HTML.
"use strict";

const EVERY_MS = 1000;
const at = (id) => document.getElementById(id);
let chosen = null;  // number of the film that somebody chose to look at; the newest otherwise
let shown = null;
let listed = [];  // numbers of the films in the table, for the keyboard

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function list(id, texts) {
  at(id).replaceChildren(...texts.map((text) => element("li", text)));
}

function pairs(id, entries) {
  const known = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  at(id).replaceChildren(...known.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
}

const number = (value, digits, unit = "") => (value === null || value === undefined ? "" : value.toFixed(digits) + unit);
const area = (one) => (!one ? "" : one.cm2 !== null ? number(one.cm2, 0, " cm²") : `${one.pixels.toLocaleString()} px`);
const lungs = (film) => (film.areas ? area(film.areas.whole_lung || film.areas.visible_lung || film.areas.own_lung) : "");
const ratio = (film) => number(film.ratios && film.ratios.cardiothoracic, 2);
const trust = (film) => number(film.estimated_dice, 2) + (film.low_trust ? " low" : "");

function title(film) {
  const patient = film.patient;
  const named = patient ? [patient.name.replaceAll("^", " ").trim(), patient.id].filter(Boolean).join(", ") : "";
  return named || shortName(film);
}

// A camera's frame is named by its microsecond, a received film by 45 digits: neither tells anybody anything.
function shortName(film) {
  if (film.source.startsWith("camera ")) return film.source + (film.frames > 1 ? `, ${film.frames} frames` : "");
  const stem = film.name.replace(/\.[^.]*$/, "");
  return stem.length > 24 ? `${stem.slice(0, 8)}\u2026${stem.slice(-8)}` : stem;
}

function clock(film) {
  return new Date(film.taken_at || film.recorded_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function showFilm(film) {
  at("film-name").textContent = film ? title(film) : "No film yet";
  const picture = at("overlay");
  picture.hidden = !(film && film.overlay);
  at("zoom").hidden = picture.hidden;
  at("no-overlay").hidden = !picture.hidden;
  at("no-overlay").textContent = film ? "There is no picture of this film." : "The first film appears here by itself.";
  if (!picture.hidden && shown !== film.number) {
    picture.src = `overlay/${film.number}`;
    picture.alt = `${title(film)} with the outlines of its structures`;
  }
  shown = film ? film.number : null;
  list("film-notes", film ? film.notes : []);
  pairs("film-numbers", !film ? [] : [
    ["State", film.status],
    ["Estimated Dice", trust(film)],
    ["Cardiothoracic ratio", ratio(film)],
    ...Object.entries(film.areas || {}).map(([name, one]) => [name.replaceAll("_", " "), area(one)]),
    ["Recorded", new Date(film.recorded_at).toLocaleString()],
    ["Frame age", number(film.age_s, 2, " s")],
    ["Name", film.name],
    ["From", film.source],
  ]);
}

function showRecent(all, current) {
  const films = at("only-checks").checked ? all.filter((film) => film.status !== "done") : all;
  listed = films.map((film) => film.number);
  at("no-films").hidden = films.length > 0;
  const focused = document.activeElement && document.activeElement.dataset.number;
  at("films").replaceChildren(...films.map((film) => {
    const row = element("tr");
    const name = element("td");
    const button = element("button", title(film));
    button.type = "button";
    button.title = film.name;
    button.dataset.number = film.number;
    if (film === current) button.setAttribute("aria-current", "true");
    name.append(button);
    row.append(element("td", clock(film)), name, element("td", film.status, film.status), element("td", lungs(film)), element("td", ratio(film)),
      element("td", trust(film)));
    if (film === current) row.className = "current";
    row.addEventListener("click", () => { chosen = film.number; refresh(); });
    return row;
  }));
  // The table is made anew each second; whoever was in it with the keyboard stays where they were.
  if (focused) at("films").querySelector(`button[data-number="${Number(focused)}"]`)?.focus();
}

function step(by) {
  const place = listed.indexOf(chosen === null ? listed[0] : chosen);
  const next = listed[Math.min(listed.length - 1, Math.max(0, place + by))];
  if (next !== undefined) { chosen = next; refresh(); }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "INPUT") return;
  const does = { ArrowDown: () => step(1), ArrowUp: () => step(-1), z: zoom,
    c: () => { at("only-checks").click(); }, n: () => { chosen = null; refresh(); } }[event.key];
  if (does) { event.preventDefault(); does(); }
});

function zoom() {
  const frame = at("frame");
  const large = frame.classList.toggle("zoomed");
  at("zoom").setAttribute("aria-pressed", String(large));
  if (large) frame.scrollTo((frame.scrollWidth - frame.clientWidth) / 2, (frame.scrollHeight - frame.clientHeight) / 2);
}

at("zoom").addEventListener("click", zoom);
at("overlay").addEventListener("dblclick", zoom);
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
    ].filter(Boolean).join(", ") || "well"]),
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
    at("status").textContent = state.problems.length ? "needs somebody to look" : "running";
    at("status").className = state.problems.length ? "warn" : "good";
    at("notice").textContent = state.notice;
    list("problems", state.problems);
    showFilm(film);
    showRecent(state.recent, film);
    showDevice(state);
  } catch (error) {
    at("status").textContent = "no connection to the device";
    at("status").className = "bad";
  }
}

// The cookie is enough from now on: a token in the address bar is photographed and copied.
if (location.search) history.replaceState(null, "", location.pathname);
refresh();
setInterval(refresh, EVERY_MS);
