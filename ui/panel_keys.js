// The left and right arrow keys work within the table of trials, too: they move to the row above or below, as the user
// sorted it, instead of to another cell.

const HEADER_PX = 36;

export default function ({ data }) {
  let sorting = false;
  const lead = (event) => {
    sorting = false;
    const key = { ArrowLeft: "ArrowUp", ArrowRight: "ArrowDown" }[event.key];
    if (!key || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (!event.target.closest?.(`[class*="st-key-${data.table}"]`)) return;
    if (!document.querySelector(`.st-key-${CSS.escape(data.panel)}`)) return; // no trial is open
    event.preventDefault();
    event.stopPropagation();
    event.target.dispatchEvent(new KeyboardEvent("keydown", { key, code: key, bubbles: true, cancelable: true }));
  };
  // A table that gets the focus selects its first cell, which opens that trial: not if the user only sorts.
  const press = (event) => {
    const table = event.target.closest?.("[data-testid=stDataFrame]");
    sorting = Boolean(table) && event.clientY - table.getBoundingClientRect().top < HEADER_PX;
  };
  const focus = (event) => {
    if (sorting && event.target.closest?.("[data-testid=stDataFrame]")) event.stopPropagation();
  };
  const listeners = { keydown: lead, pointerdown: press, focusin: focus };
  for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener, true);
  return () => {
    for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener, true);
  };
}
