// Runs before the first paint, so that the page does not flash in the wrong appearance.
try {
  const chosen = localStorage.getItem("chorale.theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  // storage is blocked: the system's appearance stays
}
