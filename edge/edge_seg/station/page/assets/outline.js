// Closed outlines as splines: drawn through a few handles, fitted to a ring of points, traced from brush strokes.
// Points are [x, y] in the film's pixels.
"use strict";

const Outline = (() => {
  const STEPS = 12;  // points of a drawn curve between two handles
  const SAMPLES = 360;  // points of a ring that a curve is fitted to
  const FEWEST = 8, MOST = 40;  // handles of a fitted ring
  const WORST = 0.0046;  // of the area: half the area between ring and curve, which is the loss in Dice

  // Weights of four neighbouring handles at u in [0, 1] between the middle two: the uniform Catmull-Rom spline.
  const weights = (u) => [u * (u * (2 - u) - 1) / 2, (u * u * (3 * u - 5) + 2) / 2, u * (u * (4 - 3 * u) + 1) / 2, u * u * (u - 1) / 2];
  const wrapped = (list, i) => list[(i + list.length) % list.length];

  function pointAt(handles, segment, u) {
    const point = [0, 0];
    weights(u).forEach((weight, i) => {
      const handle = wrapped(handles, segment + i - 1);
      point[0] += weight * handle[0];
      point[1] += weight * handle[1];
    });
    return point;
  }

  function curve(handles) {
    if (handles.length < 3) return handles.map((one) => [...one]);
    const points = [];
    for (let segment = 0; segment < handles.length; segment++) {
      for (let step = 0; step < STEPS; step++) points.push(pointAt(handles, segment, step / STEPS));
    }
    return points;
  }

  function area(ring) {
    let twice = 0;
    ring.forEach(([x, y], i) => { const [nx, ny] = wrapped(ring, i + 1); twice += x * ny - nx * y; });
    return twice / 2;
  }

  function resampled(ring, count) {
    const lengths = ring.map((point, i) => Math.hypot(wrapped(ring, i + 1)[0] - point[0], wrapped(ring, i + 1)[1] - point[1]));
    const step = lengths.reduce((sum, one) => sum + one, 0) / count, points = [];
    let at = 0, i = 0;
    for (let n = 0; n < count; n++) {
      while (i < ring.length - 1 && at + lengths[i] < n * step) at += lengths[i++];
      const part = lengths[i] ? (n * step - at) / lengths[i] : 0, [x, y] = ring[i], [nx, ny] = wrapped(ring, i + 1);
      points.push([x + part * (nx - x), y + part * (ny - y)]);
    }
    return { points, step };
  }

  // Least-squares handles for knots among the points: `knots` are ascending indices.
  function solved(points, knots) {
    const n = knots.length, rows = Array.from({ length: n }, () => new Float64Array(n + 2));
    const places = placesOf(points.length, knots);
    points.forEach(([x, y], i) => {
      const [segment, u] = places[i], w = weights(u);
      for (let a = 0; a < 4; a++) {
        const row = rows[(segment + a - 1 + n) % n];
        for (let b = 0; b < 4; b++) row[(segment + b - 1 + n) % n] += w[a] * w[b];
        row[n] += w[a] * x;
        row[n + 1] += w[a] * y;
      }
    });
    // A slight pull towards the points, so that the equations always have a unique solution.
    knots.forEach((knot, i) => { rows[i][i] += 1e-3; rows[i][n] += 1e-3 * points[knot][0]; rows[i][n + 1] += 1e-3 * points[knot][1]; });
    eliminate(rows, n);
    return { handles: rows.map((row, i) => [row[n] / row[i], row[n + 1] / row[i]]), places };
  }

  function placesOf(count, knots) {
    const places = new Array(count);
    knots.forEach((from, segment) => {
      const to = segment + 1 < knots.length ? knots[segment + 1] : knots[0] + count;
      for (let i = from; i < to; i++) places[i % count] = [segment, (i - from) / (to - from)];
    });
    return places;
  }

  // The normal equations are positive definite: no pivots are needed.
  function eliminate(rows, n) {
    for (let k = 0; k < n; k++) {
      for (let r = 0; r < n; r++) {
        const factor = r === k ? 0 : rows[r][k] / rows[k][k];
        if (factor) for (let c = k; c < n + 2; c++) rows[r][c] -= factor * rows[k][c];
      }
    }
  }

  // The closest spline with these knots: its handles, and how far off it is in total and by segment.
  function tried(points, step, knots) {
    const { handles, places } = solved(points, knots), off = new Float64Array(knots.length);
    let between = 0;
    points.forEach((point, i) => {
      const [x, y] = pointAt(handles, ...places[i]), [ax, ay] = wrapped(points, i - 1), [bx, by] = wrapped(points, i + 1);
      // Distance across the ring only: a point may be anywhere along it.
      const away = Math.abs((x - point[0]) * (by - ay) - (y - point[1]) * (bx - ax)) / (Math.hypot(bx - ax, by - ay) || 1);
      between += away * step;
      off[places[i][0]] += away * away;
    });
    return { handles, between, off };
  }

  // Handles of a spline close to a ring, as few as suffice.
  function fit(ring) {
    if (ring.length < 3) return ring.map((one) => [...one]);
    const { points, step } = resampled(ring, SAMPLES), allowed = 2 * WORST * Math.abs(area(points));
    const knots = Array.from({ length: FEWEST }, (_, i) => Math.round(i * SAMPLES / FEWEST));
    let best = tried(points, step, knots);
    while (best.between > allowed && knots.length < MOST && split(knots, best.off)) best = tried(points, step, knots);
    for (let i = knots.length - 1; i >= 0 && knots.length > FEWEST; i--) {
      const fewer = knots.filter((_, k) => k !== i), without = tried(points, step, fewer);
      if (without.between <= Math.max(allowed, best.between)) { knots.splice(i, 1); best = without; }
    }
    return best.handles;
  }

  // Add a knot where the curve is farthest off, unless no points are left between knots.
  function split(knots, off) {
    const order = [...off.keys()].sort((a, b) => off[b] - off[a]);
    for (const segment of order) {
      const to = segment + 1 < knots.length ? knots[segment + 1] : knots[0] + SAMPLES;
      if (to - knots[segment] < 4) continue;
      knots.push(Math.round((knots[segment] + to) / 2) % SAMPLES);
      knots.sort((a, b) => a - b);
      return true;
    }
    return false;
  }

  // Rings along the edges of painted pixels, holes included. `inside(x, y)` says whether a pixel is painted.
  function trace(width, height, inside) {
    const seen = new Uint8Array(width * height), rings = [];
    // Right, down, left, up; the painted pixel is on the right.
    const ahead = [[[0, -1], [0, 0]], [[0, 0], [-1, 0]], [[-1, 0], [-1, -1]], [[-1, -1], [0, -1]]];
    const moves = [[1, 0], [0, 1], [-1, 0], [0, -1]];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        if (!inside(x, y) || inside(x, y - 1) || seen[y * width + x]) continue;
        const ring = [];
        let [px, py, way] = [x, y, 0];
        do {
          if (way === 0) seen[py * width + px] = 1;
          px += moves[way][0];
          py += moves[way][1];
          ring.push([px, py]);
          const [left, right] = ahead[way].map(([dx, dy]) => inside(px + dx, py + dy));
          way = left ? (way + 3) % 4 : right ? way : (way + 1) % 4;
        } while (px !== x || py !== y || way !== 0);
        rings.push(ring);
      }
    }
    return rings;
  }

  // Removes single-pixel steps.
  function smooth(ring) {
    let points = ring.map((point, i) => [(point[0] + wrapped(ring, i + 1)[0]) / 2, (point[1] + wrapped(ring, i + 1)[1]) / 2]);
    for (let turn = 0; turn < 2; turn++) {
      points = points.map((point, i) => {
        const [a, b] = [wrapped(points, i - 1), wrapped(points, i + 1)];
        return [(a[0] + 2 * point[0] + b[0]) / 4, (a[1] + 2 * point[1] + b[1]) / 4];
      });
    }
    return points;
  }

  // The point on a curve nearest to a point: which segment, how far along, and at what distance.
  function nearest(handles, [x, y]) {
    let best = { distance: Infinity, segment: 0, u: 0 };
    if (handles.length < 3) return best;
    curve(handles).forEach((point, i, points) => {
      const next = wrapped(points, i + 1), dx = next[0] - point[0], dy = next[1] - point[1];
      const t = Math.min(1, Math.max(0, ((x - point[0]) * dx + (y - point[1]) * dy) / (dx * dx + dy * dy || 1)));
      const distance = Math.hypot(x - point[0] - t * dx, y - point[1] - t * dy);
      if (distance < best.distance) best = { distance, segment: Math.floor(i / STEPS), u: (i % STEPS + t) / STEPS };
    });
    return best;
  }

  return { curve, area, fit, trace, smooth, nearest, pointAt };
})();
