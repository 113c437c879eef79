// Sets the chosen colours before the page is drawn for the first time.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* The browser may forbid the storage. */ }
