// Runs before the first paint, so that a chosen theme does not flash. A file, not inline: a strict
// Content-Security-Policy may forbid inline scripts.
try {
  const theme = localStorage.getItem('ironmaster.theme')
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme
} catch {
  // Storage may be blocked; the system's theme is used then.
}
