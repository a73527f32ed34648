// Remembers the chosen columns of each study's table in this browser.

export default function ({ data, setTriggerValue }) {
  const place = `tune-app columns of ${data.study}`;
  try {
    if (data.chosen === null) {
      const kept = JSON.parse(localStorage.getItem(place));
      if (Array.isArray(kept)) setTriggerValue("kept", kept);
    } else if (data.chosen.length) {
      localStorage.setItem(place, JSON.stringify(data.chosen));
    } else {
      localStorage.removeItem(place);
    }
  } catch {
    // The browser stores nothing, or something else under this key: the table keeps its default columns.
  }
}
