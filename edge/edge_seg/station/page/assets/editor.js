// The outline editor, loaded when first opened. Strings from films and people are only ever inserted as text.
"use strict";

const Editor = (() => {
  const NEAR = { mouse: 9, pen: 14, touch: 24 };  // CSS pixels within which a pointer grabs something
  const BRUSHED_SIDE = 1024;  // of the canvas that a brush paints on; outlines are traced from it
  const LEAST_RING = 60;  // in its pixels: smaller pieces are slips of the brush
  const MOST_UNDONE = 100;
  const TWICE_MS = 350;
  const CORRECTED = "corrected", RIGHT = "right", CANNOT_JUDGE = "cannot be judged";
  const TOOLS = { handles: "Handles", add: "Add", erase: "Erase" };

  let dialog, stage, picture, canvas, sheet, number, structures, chosen, tool, radius, ghost, view, history, place, actions, began;
  let selected, hold, pointers, pinch, lastTap, asked, closed, loading, windowed;

  const make = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (key === "text") made.textContent = value;
      else if (value !== false && value !== null) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  };
  const button = (text, onclick, attributes = {}) => make("button", { type: "button", text, onclick, ...attributes });
  const part = (name) => dialog.querySelector(`[data-part="${name}"]`);
  const active = () => (chosen === null ? structures : [structures[chosen]]);
  const one = () => structures[chosen ?? selected?.structure ?? -1];

  // --- display ----------------------------------------------------------------------------------------------------

  function build() {
    canvas = make("canvas", { tabindex: "0", "aria-label": "Film with its outlines", "data-part": "canvas" });
    picture = make("img", { alt: "" });
    stage = make("div", { class: "stage" }, picture, canvas);
    dialog = make("dialog", { id: "editor", "aria-labelledby": "editor-title" },
      make("header", {}, make("h2", { id: "editor-title" }), make("p", { role: "status", "data-part": "status" }),
        button("Close", () => leave(), { "data-part": "close" })),
      stage,
      make("div", { class: "bar", role: "group", "aria-label": "Structure", "data-part": "structures" }),
      make("div", { class: "bar tools", role: "group", "aria-label": "Tools" },
        ...Object.entries(TOOLS).map(([name, text]) => button(text, () => use(name), { "data-tool": name })),
        make("label", { class: "size" }, "Width ", make("input", { type: "range", min: "3", max: "60", "data-part": "radius", oninput: (e) => { radius = Number(e.target.value); draw(); } })),
        button("Undo", () => step(-1), { "data-part": "undo" }), button("Redo", () => step(1), { "data-part": "redo" }),
        button("Remove handle", () => removeHandle(), { "data-part": "remove" }),
        button("Not on this film", () => toggleAbsent(), { "data-part": "absent", "aria-pressed": "false" }),
        button("Ghost", () => toggleGhost(), { "data-part": "ghost", "aria-pressed": "true" }),
        button("\u2212", () => zoom(1 / 1.5), { "aria-label": "Zoom out" }), button("Fit", fitView), button("+", () => zoom(1.5), { "aria-label": "Zoom in" })),
      make("div", { class: "bar", role: "group", "aria-label": "Window and level" },
        ...["Contrast", "Brightness"].map((name) => make("label", {}, `${name} `, make("input",
          { type: "range", min: "20", max: "300", step: "5", value: "100", "data-part": name.toLowerCase(), oninput: shade, onchange: rewindow,
            ondblclick: (e) => { e.target.value = 100; shade(); rewindow(); } })))),
      make("footer", {},
        make("label", {}, "Who ", make("input", { type: "text", maxlength: "80", autocomplete: "name", "data-part": "who" })),
        button("Save", () => save(CORRECTED), { "data-part": "save", class: "main" }),
        button("Right as it is", () => save(RIGHT), { "data-part": "right" }),
        button("Cannot be judged", () => save(CANNOT_JUDGE), { "data-part": "cannot" }),
        make("p", { text: "Saving says that every outline of the film is right.", class: "quiet" })));
    document.body.append(dialog);
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); leave(); });
    dialog.addEventListener("keydown", onKey);
    for (const [name, listener] of Object.entries({ pointerdown: onDown, pointermove: onMove, pointerup: onUp, pointercancel: onUp, contextmenu: onMenu })) canvas.addEventListener(name, listener);
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 300), at(event)); }, { passive: false });
    new ResizeObserver(() => { if (sheet) { size(); fitView(); } }).observe(stage);
  }

  const say = (text, bad = false) => { part("status").textContent = text; part("status").className = bad ? "bad" : ""; };

  function size() {
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(stage.clientWidth * scale);
    canvas.height = Math.round(stage.clientHeight * scale);
  }

  function fitView() {
    const scale = Math.min(stage.clientWidth / sheet.width, stage.clientHeight / sheet.height) || 1;
    view = { scale, x: (stage.clientWidth - sheet.width * scale) / 2, y: (stage.clientHeight - sheet.height * scale) / 2, least: scale };
    draw();
  }

  function zoom(factor, [x, y] = [stage.clientWidth / 2, stage.clientHeight / 2]) {
    const scale = Math.min(view.least * 16, Math.max(view.least * 0.8, view.scale * factor));
    view.x = x - (x - view.x) * scale / view.scale;
    view.y = y - (y - view.y) * scale / view.scale;
    view.scale = scale;
    sharpen();
    draw();
  }

  // A phone loads the small picture first, and the large one on zooming in.
  function sharpen() {
    if (picture.dataset.kind === "small" && view.scale * (window.devicePixelRatio || 1) > 1.5 * picture.naturalWidth / sheet.width) load("film");
  }

  // Pictures have 8 bits per pixel: the device windows deeper films when a slider is released.
  function load(kind) {
    const wanted = sheet.bits > 8 ? levels() : [100, 100], next = new Image();
    picture.dataset.kind = kind;
    next.src = `corrections/${number}/${kind}${wanted.every((one) => one === 100) ? "" : `/${wanted.join("-")}`}`;
    loading = next;
    const isLate = () => loading !== next || !sheet;
    return next.decode().then(() => {
      if (isLate()) return;
      [picture.src, windowed] = [next.src, wanted];
      shade();
    }, () => { if (!isLate()) say("the film is not there any more", true); });
  }

  const levels = () => ["contrast", "brightness"].map((name) => Number(part(name).value));

  // Until then, a filter makes the current picture lighter or darker.
  function shade() {
    const [contrast, brightness] = levels().map((one, i) => one / windowed[i]);
    picture.style.filter = `brightness(${brightness}) contrast(${contrast})`;
  }

  const rewindow = () => { if (sheet.bits > 8) load(picture.dataset.kind); };

  const onScreen = ([x, y]) => [view.x + x * view.scale, view.y + y * view.scale];
  const onFilm = ([x, y]) => [(x - view.x) / view.scale, (y - view.y) / view.scale];

  let waits = false;
  function draw() {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => { waits = false; if (sheet) paint(); });
  }

  function paint() {
    picture.style.width = `${sheet.width * view.scale}px`;
    picture.style.height = `${sheet.height * view.scale}px`;
    picture.style.transform = `translate(${view.x}px, ${view.y}px)`;
    const to = canvas.getContext("2d"), scale = window.devicePixelRatio || 1;
    to.setTransform(scale, 0, 0, scale, 0, 0);
    to.clearRect(0, 0, stage.clientWidth, stage.clientHeight);
    to.lineJoin = "round";
    if (ghost) for (const each of active()) for (const ring of each.model) line(to, ring, "#fff", 1.5, [4, 4]);
    structures.forEach((each, i) => {
      const faint = chosen !== null && i !== chosen;
      to.globalAlpha = faint ? 0.45 : 1;
      for (const handles of each.rings) {
        const points = Outline.curve(handles);
        line(to, points, "#000", 4, []);
        line(to, points, each.colour, 2, []);
      }
      to.globalAlpha = 1;
      if (!faint && tool === "handles") for (const [r, handles] of each.rings.entries()) handles.forEach((handle, h) => knob(to, handle, each.colour, isSelected(i, r, h)));
    });
    if (hold?.stroke) brush(to, hold.stroke);
  }

  function line(to, points, colour, width, dashes) {
    to.beginPath();
    points.forEach((point, i) => to[i ? "lineTo" : "moveTo"](...onScreen(point)));
    to.closePath();
    to.setLineDash(dashes);
    to.strokeStyle = colour;
    to.lineWidth = width;
    to.stroke();
  }

  function knob(to, handle, colour, isChosen) {
    const coarse = matchMedia("(pointer: coarse)").matches;
    to.setLineDash([]);
    to.beginPath();
    to.arc(...onScreen(handle), (coarse ? 6 : 4) + (isChosen ? 3 : 0), 0, 7);
    to.fillStyle = isChosen ? "#fff" : colour;
    to.fill();
    to.strokeStyle = "#000";
    to.lineWidth = 1.5;
    to.stroke();
  }

  function brush(to, stroke) {
    to.setLineDash([]);
    to.beginPath();
    stroke.forEach((point, i) => to[i ? "lineTo" : "moveTo"](...onScreen(point)));
    if (stroke.length === 1) to.lineTo(...onScreen(stroke[0]));
    to.lineCap = "round";
    to.lineWidth = 2 * radius;
    to.strokeStyle = tool === "add" ? "rgba(124,227,139,.45)" : "rgba(255,92,122,.45)";
    to.stroke();
  }

  const isSelected = (structure, ring, handle) => selected?.structure === structure && selected.ring === ring && selected.handle === handle;

  function refresh() {
    [...part("structures").children].forEach((each) => each.setAttribute("aria-pressed", String(each.dataset.index === String(chosen ?? "all"))));
    structures.forEach((each, i) => part("structures").children[i].classList.toggle("absent", each.absent));
    for (const each of dialog.querySelectorAll("[data-tool]")) each.setAttribute("aria-pressed", String(each.dataset.tool === tool));
    part("undo").disabled = place === 0;
    part("redo").disabled = place === history.length - 1;
    part("remove").disabled = !selected;
    part("absent").disabled = !one();
    part("absent").setAttribute("aria-pressed", String(Boolean(one()?.absent)));
    part("radius").value = radius;
    draw();
  }

  // --- actions ----------------------------------------------------------------------------------------------------

  const state = () => JSON.stringify(structures.map(({ rings, touched, absent }) => ({ rings, touched, absent })));

  function done() {
    const now = state();
    if (now === history[place]) return;
    history = [...history.slice(Math.max(0, place + 1 - MOST_UNDONE), place + 1), now];
    place = history.length - 1;
    actions++;
    asked = false;
    refresh();
  }

  function step(by) {
    if (!history[place + by]) return;
    place += by;
    actions++;
    JSON.parse(history[place]).forEach((each, i) => Object.assign(structures[i], each));
    selected = null;
    refresh();
  }

  function choose(index) { chosen = index; selected = null; refresh(); }
  function toggleGhost() { ghost = !ghost; part("ghost").setAttribute("aria-pressed", String(ghost)); draw(); }

  function use(name) {
    tool = name;
    // A brush paints one structure.
    if (tool !== "handles" && chosen === null) chosen = selected?.structure ?? 0;
    selected = null;
    refresh();
  }

  function toggleAbsent() {
    const each = one();
    if (!each) return;
    each.absent = !each.absent;
    // Toggling back restores the outline.
    if (each.absent) { each.kept = each.rings; each.rings = []; } else each.rings = each.kept ?? [];
    each.touched = true;
    selected = null;
    done();
  }

  function removeHandle() {
    if (!selected) return;
    const each = structures[selected.structure], handles = each.rings[selected.ring];
    if (handles.length > 3) handles.splice(selected.handle, 1); else each.rings.splice(selected.ring, 1);
    each.touched = true;
    selected = null;
    done();
  }

  function insertHandle(where) {
    const each = structures[where.structure], handles = each.rings[where.ring];
    handles.splice(where.segment + 1, 0, Outline.pointAt(handles, where.segment, where.u));
    each.touched = true;
    selected = { structure: where.structure, ring: where.ring, handle: where.segment + 1 };
  }

  function nudge(dx, dy) {
    if (!selected) return;
    const each = structures[selected.structure], handle = each.rings[selected.ring][selected.handle];
    handle[0] += dx;
    handle[1] += dy;
    each.touched = true;
    done();
  }

  function nextHandle(by) {
    const index = selected?.structure ?? chosen ?? 0, rings = structures[index].rings;
    if (!rings.length) return;
    const ring = selected?.ring ?? 0, count = rings[ring].length;
    selected = { structure: index, ring, handle: ((selected?.handle ?? -by) + by + count) % count };
    refresh();
  }

  // --- pointers ---------------------------------------------------------------------------------------------------

  const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const apart = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by);

  function handleAt(point, near) {
    let best = null;
    structures.forEach((each, i) => {
      if (chosen !== null && i !== chosen) return;
      each.rings.forEach((handles, r) => handles.forEach((handle, h) => {
        const distance = apart(onScreen(handle), point);
        if (distance <= near && (!best || distance < best.distance)) best = { structure: i, ring: r, handle: h, distance };
      }));
    });
    return best;
  }

  function lineAt(point, near) {
    let best = null;
    structures.forEach((each, i) => {
      if (chosen !== null && i !== chosen) return;
      each.rings.forEach((handles, r) => {
        const found = Outline.nearest(handles, onFilm(point));
        if (found.distance * view.scale <= near && (!best || found.distance < best.distance)) best = { structure: i, ring: r, ...found };
      });
    });
    return best;
  }

  function onDown(event) {
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    if (pointers.size === 2) return beginPinch();
    if (pointers.size > 2 || event.button === 2) return;
    const point = at(event), near = NEAR[event.pointerType] ?? NEAR.mouse;
    hold = { from: point, last: point, moved: false, pointer: event.pointerId };
    if (event.button === 1) hold.pans = true;
    else if (tool !== "handles") hold.stroke = [onFilm(point)];
    else {
      hold.handle = handleAt(point, near);
      hold.line = hold.handle ? null : lineAt(point, near);
      hold.pans = !hold.handle && !hold.line;
    }
    draw();
  }

  function onMove(event) {
    if (!pointers.has(event.pointerId)) return;
    pointers.set(event.pointerId, at(event));
    if (pinch) return movePinch();
    if (!hold || hold.pointer !== event.pointerId) return;
    const point = at(event);
    if (!hold.moved && apart(point, hold.from) < 4) return;
    hold.moved = true;
    if (hold.line) { insertHandle(hold.line); hold.handle = selected; hold.line = null; }
    if (hold.stroke) {
      for (const each of event.getCoalescedEvents?.() ?? [event]) hold.stroke.push(onFilm(at(each)));
      if (hold.stroke.length < 2) hold.stroke.push(onFilm(point));
    } else if (hold.handle) drag(point);
    else if (hold.pans) { view.x += point[0] - hold.last[0]; view.y += point[1] - hold.last[1]; }
    hold.last = point;
    draw();
  }

  function drag(point) {
    const { structure, ring, handle } = hold.handle, each = structures[structure];
    const [x, y] = onFilm(point), held = each.rings[ring][handle];
    const [lx, ly] = onFilm(hold.last);
    // Move by as much as the pointer did: a finger beside a handle does not make it jump.
    held[0] = Math.min(sheet.width, Math.max(0, held[0] + x - lx));
    held[1] = Math.min(sheet.height, Math.max(0, held[1] + y - ly));
    each.touched = true;
    selected = { structure, ring, handle };
  }

  function onUp(event) {
    if (!pointers.delete(event.pointerId)) return;
    if (pinch) { if (pointers.size === 0) pinch = null; return; }
    if (!hold || hold.pointer !== event.pointerId) return;
    const held = hold;
    hold = null;
    if (event.type === "pointercancel") { restore(); return; }
    if (held.stroke) { painted(held.stroke); done(); draw(); return; }
    if (held.moved) { done(); draw(); return; }
    tapped(event, held);
  }

  // A double tap on the line adds a handle; a tap on a handle selects it.
  function tapped(event, held) {
    const twice = lastTap && event.timeStamp - lastTap.time < TWICE_MS && apart(lastTap.point, held.from) < 20;
    lastTap = twice ? null : { time: event.timeStamp, point: held.from };
    const where = twice ? lineAt(held.from, NEAR[event.pointerType] ?? NEAR.mouse) : null;
    if (where && !held.handle) { insertHandle(where); done(); return; }
    selected = held.handle ? { structure: held.handle.structure, ring: held.handle.ring, handle: held.handle.handle } : null;
    refresh();
  }

  function onMenu(event) {
    event.preventDefault();
    const found = tool === "handles" && handleAt(at(event), NEAR.mouse);
    if (found) { selected = found; removeHandle(); }
  }

  function restore() {
    JSON.parse(history[place]).forEach((each, i) => Object.assign(structures[i], each));
    refresh();
  }

  function beginPinch() {
    // What the first finger began was the start of a pinch.
    if (hold) { hold = null; restore(); }
    const [a, b] = [...pointers.values()];
    pinch = { distance: apart(a, b), middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] };
  }

  function movePinch() {
    if (pointers.size < 2) return;
    const [a, b] = [...pointers.values()], distance = apart(a, b), middle = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    view.x += middle[0] - pinch.middle[0];
    view.y += middle[1] - pinch.middle[1];
    zoom(distance / (pinch.distance || 1), middle);
    pinch = { distance, middle };
  }

  // --- the brush --------------------------------------------------------------------------------------------------

  function painted(stroke) {
    const each = structures[chosen], scale = Math.min(1, BRUSHED_SIDE / Math.max(sheet.width, sheet.height));
    const board = make("canvas"), to = board.getContext("2d", { willReadFrequently: true });
    board.width = Math.round(sheet.width * scale);
    board.height = Math.round(sheet.height * scale);
    to.scale(scale, scale);
    to.beginPath();
    for (const handles of each.rings) { Outline.curve(handles).forEach((point, i) => to[i ? "lineTo" : "moveTo"](...point)); to.closePath(); }
    to.fill("evenodd");
    to.globalCompositeOperation = tool === "add" ? "source-over" : "destination-out";
    to.lineCap = to.lineJoin = "round";
    to.lineWidth = 2 * radius / view.scale;
    to.beginPath();
    stroke.forEach((point, i) => to[i ? "lineTo" : "moveTo"](...point));
    if (stroke.length === 1) to.lineTo(stroke[0][0] + 0.01, stroke[0][1]);
    to.stroke();
    const { data, width, height } = to.getImageData(0, 0, board.width, board.height);
    const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && data[(y * width + x) * 4 + 3] > 127;
    const rings = Outline.trace(width, height, inside).filter((ring) => Math.abs(Outline.area(ring)) >= LEAST_RING);
    each.rings = rings.map((ring) => Outline.fit(Outline.smooth(ring).map(([x, y]) => [x / scale, y / scale])));
    each.touched = true;
    each.absent = false;
  }

  // --- keys -------------------------------------------------------------------------------------------------------

  function onKey(event) {
    const typing = event.target.tagName === "INPUT" && event.target.type === "text";
    event.stopPropagation();
    const far = event.shiftKey ? 10 : 1, key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const control = { z: () => step(event.shiftKey ? 1 : -1), y: () => step(1), s: () => save(CORRECTED) };
    const plain = {
      ArrowLeft: () => nudge(-far, 0), ArrowRight: () => nudge(far, 0), ArrowUp: () => nudge(0, -far), ArrowDown: () => nudge(0, far),
      ".": () => nextHandle(1), ",": () => nextHandle(-1), Delete: removeHandle, Backspace: removeHandle,
      i: () => { if (selected) { insertHandle({ ...selected, segment: selected.handle, u: 0.5 }); done(); } },
      a: () => use("add"), e: () => use("erase"), h: () => use("handles"), g: toggleGhost, n: toggleAbsent, f: fitView,
      "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), "0": () => choose(null),
      "]": () => { radius = Math.min(60, radius + 3); refresh(); }, "[": () => { radius = Math.max(3, radius - 3); refresh(); },
    };
    let does = null;
    if (event.ctrlKey || event.metaKey) does = control[key];
    else if (!typing && !event.altKey) does = plain[key] ?? (structures[Number(key) - 1] && (() => choose(Number(key) - 1)));
    // Arrow keys move a focused slider.
    if (!does || (event.target.type === "range" && key.startsWith("Arrow"))) return;
    event.preventDefault();
    does();
  }

  // --- to and from the device -------------------------------------------------------------------------------------

  async function open(film, title, whenClosed) {
    if (!dialog) build();
    const answer = await fetch(`corrections/${film}`, { cache: "no-store" });
    if (!answer.ok) throw new Error((await answer.json()).error);
    sheet = await answer.json();
    number = film;
    closed = whenClosed;
    structures = sheet.structures.map((each) => ({ ...each, rings: (each.now ?? each.model).map(Outline.fit), touched: false, absent: sheet.absent.includes(each.name) }));
    [chosen, tool, radius, ghost, actions, selected, hold, pinch, lastTap, asked] = [0, "handles", 14, true, 0, null, null, null, null, false];
    pointers = new Map();
    history = [state()];
    place = 0;
    dialog.querySelector("h2").textContent = title;
    part("who").value = keptName() || sheet.who;
    say(sheet.base ? `version ${sheet.base}: ${sheet.verdict}` : "");
    part("structures").replaceChildren(
      ...structures.map((each, i) => {
        const swatch = make("i");
        swatch.style.background = each.colour;
        const made = button("", () => choose(i), { "data-index": String(i), "data-name": each.name });
        made.append(swatch, each.title);
        return made;
      }), button("All", () => choose(null), { "data-index": "all" }));
    for (const name of ["contrast", "brightness"]) part(name).value = 100;
    windowed = [100, 100];
    shade();
    picture.removeAttribute("src");
    dialog.showModal();
    size();
    fitView();
    refresh();
    began = performance.now();
    await load(Math.min(innerWidth, innerHeight) <= 600 ? "small" : "film");
  }

  const keptName = () => { try { return localStorage.getItem("edge-seg-who") || ""; } catch (error) { return ""; } };
  const keepName = (who) => { try { localStorage.setItem("edge-seg-who", who); } catch (error) { say("this browser keeps no names"); } };

  function leave() {
    if (place > 0 && !asked) { asked = true; say("not saved: close once more to leave it as it was", true); return; }
    shut();
  }

  function shut() {
    dialog.close();
    sheet = null;
    closed();
  }

  const rounded = (points) => points.map(([x, y]) => [Math.round(x * 10) / 10, Math.round(y * 10) / 10]);

  async function save(verdict) {
    // Keys save too: one save at a time.
    if (part("save").disabled) return;
    const who = part("who").value.trim();
    if (!who) { say("say who corrects: a name of your choice", true); part("who").focus(); return; }
    const changed = verdict === CORRECTED ? structures.filter((each) => each.touched && !each.absent) : [];
    const empty = changed.find((each) => !each.rings.length);
    if (empty) { say(`${empty.title}: draw an outline, or say that it is not on this film`, true); return; }
    const body = {
      base: sheet.base, who, verdict, seconds: Math.round((performance.now() - began) / 100) / 10, actions: actions + 1,
      outlines: Object.fromEntries(changed.map((each) => [each.name, each.rings.map((handles) => rounded(Outline.curve(handles)))])),
      absent: verdict === CORRECTED ? structures.filter((each) => each.absent).map((each) => each.name) : [],
    };
    // By the time of the answer, the editor may show another film.
    const saved = sheet;
    for (const name of ["save", "right", "cannot"]) part(name).disabled = true;
    say("saving");
    try {
      const answer = await fetch(`corrections/${number}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
      const told = await answer.json();
      if (!answer.ok) throw new Error(told.error);
      keepName(who);
      if (sheet === saved) shut();
    } catch (error) {
      if (sheet === saved) say(`not saved: ${error.message}`, true);
    } finally {
      for (const name of ["save", "right", "cannot"]) part(name).disabled = false;
    }
  }

  return { open };
})();
