// Runs before the first paint, so that a chosen appearance does not flash.
try {
  const chosen = localStorage.getItem("chorale.theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  // storage is blocked: the system's appearance stays
}
