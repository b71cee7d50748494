// What the page remembers between visits. Where storage is blocked, it remembers nothing.

export function recall(key) {
  try {
    return localStorage.getItem(`chorale.${key}`);
  } catch {
    return null;
  }
}

export function remember(key, value) {
  try {
    if (value === null || value === "") localStorage.removeItem(`chorale.${key}`);
    else localStorage.setItem(`chorale.${key}`, value);
  } catch {
    // storage is blocked
  }
}
