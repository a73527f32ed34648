// The left and right arrow keys work within the table, too: they move to the row above or below, as the user sorted
// the table, instead of to another cell.

export default function ({ data }) {
  const lead = (event) => {
    const key = { ArrowLeft: "ArrowUp", ArrowRight: "ArrowDown" }[event.key];
    if (!key || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (!event.target.closest?.("[data-testid=stDataFrame]")) return;
    if (!document.querySelector(`.st-key-${CSS.escape(data.panel)}`)) return; // no trial is open
    event.preventDefault();
    event.stopPropagation();
    event.target.dispatchEvent(new KeyboardEvent("keydown", { key, code: key, bubbles: true, cancelable: true }));
  };
  document.addEventListener("keydown", lead, true);
  return () => document.removeEventListener("keydown", lead, true);
}
