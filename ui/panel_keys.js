// The left and right arrow keys open another trial from within the table, too, instead of moving to another cell.

export default function ({ data }) {
  const lead = (event) => {
    const key = { ArrowLeft: data.left, ArrowRight: data.right }[event.key];
    if (!key || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (!event.target.closest?.("[data-testid=stDataFrame]")) return;
    const button = document.querySelector(`.st-key-${CSS.escape(key)} button`);
    if (!button) return; // no trial is open
    event.preventDefault();
    event.stopPropagation();
    button.click();
  };
  document.addEventListener("keydown", lead, true);
  return () => document.removeEventListener("keydown", lead, true);
}
