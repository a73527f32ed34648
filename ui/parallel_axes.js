// Parallel coordinates: draws the figure and reports the ranges along its axes by the axes' labels. The line nearest to
// the mouse shows its trial in a tooltip; a click on it opens the trial.

const WAIT_MS = 50;
const LONGEST_WAIT_MS = 15000;
const NEAR_PX = 12;

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const place = parentElement.querySelector(".axes");
  place.tell = { ranges: (kept) => setStateValue("ranges", kept), trial: (n) => setTriggerValue("trial", n) };
  const drawn = JSON.stringify(data);
  if (place.drawn === drawn) return undefined;
  place.drawn = drawn;
  whenThere(() => globalThis.Plotly, () => draw(place, data));
  return undefined;
}

// plotly.js comes with another component, which may be mounted a moment later.
function whenThere(found, act, waited = 0) {
  if (found()) act();
  else if (waited < LONGEST_WAIT_MS) setTimeout(() => whenThere(found, act, waited + WAIT_MS), WAIT_MS);
}

async function draw(place, { figure, ranges, lines, clicks }) {
  const style = getComputedStyle(place);
  const color = style.getPropertyValue("--st-text-color").trim() || style.color;
  const font = { color, family: style.getPropertyValue("--st-font").trim() || style.fontFamily, size: 12 };
  const traces = figure.data.map((trace) => ({
    ...trace,
    labelfont: font,
    tickfont: font,
    rangefont: { ...font, size: 11 },
    dimensions: inOrder(trace.dimensions, place.order).map((axis) => ({
      ...axis,
      multiselect: false,
      ...(ranges[axis.label] ? { constraintrange: ranges[axis.label] } : {}),
    })),
  }));
  const layout = { ...figure.layout, template: undefined, font, paper_bgcolor: "rgba(0,0,0,0)", autosize: true };
  await globalThis.Plotly.react(place, traces, layout, { displayModeBar: false, responsive: true });
  place.removeAllListeners("plotly_restyle");
  place.on("plotly_restyle", () => {
    place.order = place.data[0].dimensions.map((axis) => axis.label); // keep the order of dragged axes
    const kept = {};
    for (const axis of place.data[0].dimensions) if (axis.constraintrange) kept[axis.label] = axis.constraintrange;
    if (JSON.stringify(kept) !== JSON.stringify(place.kept ?? ranges)) place.tell.ranges(kept);
    place.kept = kept;
  });
  place.kept = ranges;
  follow(place, lines, clicks);
}

function inOrder(axes, order) {
  if (!order) return axes;
  const at = (axis) => (order.includes(axis.label) ? order.indexOf(axis.label) : order.length);
  return [...axes].sort((one, other) => at(one) - at(other));
}

// The tooltip and the click: plotly reports neither for lines.
function follow(place, lines, clicks) {
  const tip = place.parentElement.querySelector(".axes-tip");
  const mark = place.parentElement.querySelector(".axes-mark");
  const hide = () => {
    place.near = undefined;
    tip.hidden = true;
    mark.style.display = "none";
  };
  place.onmousemove = (event) => {
    if (event.buttons) return hide();
    const found = nearest(place, event);
    if (!found) return hide();
    place.near = found.line;
    const box = place.parentElement.getBoundingClientRect();
    const { texts } = lines;
    tip.textContent = texts[found.line];
    tip.hidden = false;
    const left = event.clientX - box.left;
    tip.style.left = `${left + (left > box.width / 2 ? -tip.offsetWidth - 14 : 14)}px`;
    tip.style.top = `${event.clientY - box.top + 14}px`;
    mark.style.display = "";
    mark.querySelector("polyline").setAttribute("points", found.path.map((at) => at.join(",")).join(" "));
  };
  place.onmouseleave = hide;
  // Pressed and released at the same spot: dragging an axis or a range ends in a click, too.
  place.onpointerdown = (event) => {
    place.pressed = place.near === undefined ? undefined : [event.clientX, event.clientY, place.near];
  };
  place.onpointerup = (event) => {
    const [x, y, line] = place.pressed ?? [];
    place.pressed = undefined;
    if (!clicks || line === undefined || Math.hypot(event.clientX - x, event.clientY - y) > 3) return;
    place.tell.trial(lines.trials[line]);
  };
  hide();
}

// The drawn line that passes nearest to the mouse, between the axes on both sides of it.
function nearest(place, event) {
  const axes = drawnAxes(place);
  if (axes.length < 2) return undefined;
  const x = event.clientX;
  const right = axes.findIndex((axis) => axis.x >= x);
  if (right < 1) return undefined;
  const [one, other] = [axes[right - 1], axes[right]];
  if (Math.min(x - one.x, other.x - x) < 6) return undefined; // here ranges are dragged
  const share = (x - one.x) / (other.x - one.x);
  let best = { gap: NEAR_PX };
  for (let line = 0; line < one.values.length; line += 1) {
    const gap = Math.abs(one.y(one.values[line]) * (1 - share) + other.y(other.values[line]) * share - event.clientY);
    if (gap < best.gap && axes.every((axis) => axis.passes(axis.values[line]))) best = { gap, line };
  }
  if (best.line === undefined) return undefined;
  const box = place.parentElement.getBoundingClientRect();
  const path = axes.map((axis) => [axis.x - box.left, axis.y(axis.values[best.line]) - box.top]);
  return { line: best.line, path };
}

// The positions of the axes on the screen, from left to right, and of the values along them.
function drawnAxes(place) {
  const known = new Map(place._fullData[0].dimensions.map((axis) => [axis.label, axis]));
  const ranges = new Map(place.data[0].dimensions.map((axis) => [axis.label, axis.constraintrange]));
  const drawn = [...place.querySelectorAll(".y-axis")].map((node) => {
    const { label } = node.__data__;
    const { values, range } = known.get(label);
    const box = node.querySelector(".axis .domain").getBoundingClientRect();
    const [low, high] = range ?? extent(values);
    const kept = ranges.get(label);
    return {
      x: box.left + box.width / 2,
      y: (value) => box.bottom - ((value - low) / (high - low)) * box.height,
      values,
      passes: (value) => !kept || (value >= kept[0] && value <= kept[1]),
    };
  });
  return drawn.sort((one, other) => one.x - other.x);
}

// As in plotly, an axis with a single value gets room around it.
function extent(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (low < high) return [low, high];
  return low === 0 ? [-1, 1] : [low * 0.9, low * 1.1];
}
