// A classic script in the head, so that the theme is set before the page is drawn.
(() => {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const apply = () => {
    const wish = localStorage.getItem('icomet-theme') || 'auto';
    document.documentElement.dataset.wish = wish;
    document.documentElement.dataset.theme = wish === 'auto' ? (dark.matches ? 'dark' : 'light') : wish;
    dispatchEvent(new Event('themechange'));
  };
  dark.addEventListener('change', apply);
  window.nextTheme = () => {
    const order = ['auto', 'dark', 'light'];
    const next = order[(order.indexOf(document.documentElement.dataset.wish) + 1) % order.length];
    localStorage.setItem('icomet-theme', next);
    apply();
  };
  apply();
})();
