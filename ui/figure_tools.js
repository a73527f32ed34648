// Belongs to a chart: reports the clicked trial to the page, and saves the chart as a picture.

export default function ({ data, parentElement, setTriggerValue }) {
  for (const button of parentElement.querySelectorAll("button[data-format]")) {
    button.onclick = () => save(chartOf(data.chart), button.dataset.format, data.name);
  }
  if (!data.clicks) return undefined;
  // The chart may appear later or be redrawn as a new element, so look it up on each press.
  const follow = (event) => {
    const chart = event.target.closest?.(".js-plotly-plot");
    if (!chart || chart !== chartOf(data.chart)) return;
    if (!chart.tellTrial) chart.on("plotly_click", (clicked) => chart.tellTrial(clicked));
    chart.tellTrial = (clicked) => {
      const known = clicked.points.map(({ customdata }) => customdata?.[0]).find((number) => Number.isFinite(number));
      if (known !== undefined) setTriggerValue("trial", known);
    };
  };
  document.addEventListener("pointerdown", follow, true);
  return () => document.removeEventListener("pointerdown", follow, true);
}

function chartOf(key) {
  return document.querySelector(`.st-key-${CSS.escape(key)} .js-plotly-plot`);
}

// Streamlit's plotly.js is not global, but the chart's own camera button saves with the options set here.
function save(chart, format, filename) {
  if (!chart) return;
  const options = { format, filename, scale: format === "png" ? 2 : 1 };
  const camera = chart.querySelector('.modebar-btn[data-title^="Download plot"]');
  if (!camera) {
    globalThis.Plotly.downloadImage(chart, { ...options, width: chart.clientWidth, height: chart.clientHeight });
    return;
  }
  chart._context.toImageButtonOptions = options;
  camera.click();
}
