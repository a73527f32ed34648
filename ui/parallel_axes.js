// Parallel coordinates: draws the figure, and sends the ranges along its axes back, by the axes' labels.

const WAIT_MS = 50;
const LONGEST_WAIT_MS = 15000;

export default function ({ data, parentElement, setStateValue }) {
  const place = parentElement.querySelector(".axes");
  const drawn = JSON.stringify(data.figure);
  if (place.drawn === drawn) return undefined;
  place.drawn = drawn;
  whenThere(() => globalThis.Plotly, () => draw(place, data, setStateValue));
  return undefined;
}

// plotly.js comes with another component, which may be mounted a moment later.
function whenThere(found, act, waited = 0) {
  if (found()) act();
  else if (waited < LONGEST_WAIT_MS) setTimeout(() => whenThere(found, act, waited + WAIT_MS), WAIT_MS);
}

async function draw(place, { figure, ranges }, setStateValue) {
  const style = getComputedStyle(place);
  const colour = style.getPropertyValue("--st-text-color").trim() || style.color;
  const font = { color: colour, family: style.getPropertyValue("--st-font").trim() || style.fontFamily, size: 12 };
  const traces = figure.data.map((trace) => ({
    ...trace,
    labelfont: font,
    tickfont: font,
    rangefont: { ...font, size: 11 },
    dimensions: trace.dimensions.map((axis) => ({
      ...axis,
      multiselect: false,
      ...(ranges[axis.label] ? { constraintrange: ranges[axis.label] } : {}),
    })),
  }));
  const layout = { ...figure.layout, template: undefined, font, paper_bgcolor: "rgba(0,0,0,0)", autosize: true };
  await globalThis.Plotly.react(place, traces, layout, { displayModeBar: false, responsive: true });
  place.removeAllListeners("plotly_restyle");
  place.on("plotly_restyle", () => {
    const kept = {};
    for (const axis of place.data[0].dimensions) if (axis.constraintrange) kept[axis.label] = axis.constraintrange;
    setStateValue("ranges", kept);
  });
}
