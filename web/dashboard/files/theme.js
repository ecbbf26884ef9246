// A classic script in the head, so that the theme is set before the page is drawn.
(() => {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const key = 'icomet-theme';
  let chosen = null; // where the browser forbids storage
  const stored = () => { try { return localStorage.getItem(key); } catch { return chosen; } };
  const apply = () => {
    const wish = stored() || 'auto';
    document.documentElement.dataset.wish = wish;
    document.documentElement.dataset.theme = wish === 'auto' ? (dark.matches ? 'dark' : 'light') : wish;
    dispatchEvent(new Event('themechange'));
  };
  dark.addEventListener('change', apply);
  window.nextTheme = () => {
    const order = ['auto', 'dark', 'light'];
    chosen = order[(order.indexOf(document.documentElement.dataset.wish) + 1) % order.length];
    try { localStorage.setItem(key, chosen); } catch { /* until the page is left */ }
    apply();
  };
  apply();
})();
