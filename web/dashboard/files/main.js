// The page: which view is shown, and the feed that all views share.
import { feed, forgetKey, hasKey, isLocked } from './api.js';
import { channel } from './channel.js';
import { channels } from './channels.js';
import { config } from './config.js';
import { History } from './history.js';
import { overview } from './overview.js';
import { clock, duration } from './ui.js';

const views = { overview, channels, channel, config };
const titles = { overview: 'Overview', channels: 'Channels', config: 'Configuration' };
const main = document.getElementById('main');
const app = { history: new History(), stats: null, node: null };
let view = null;

// route shows the view that the address names: #/channels?sort=name, #/channel/NAME.
function route() {
  const [path, query = ''] = location.hash.slice(2).split('?');
  const slash = path.indexOf('/');
  let name = slash < 0 ? path : path.slice(0, slash);
  if (!Object.hasOwn(views, name)) name = 'overview';
  let rest = slash < 0 ? '' : path.slice(slash + 1);
  try { rest = decodeURIComponent(rest); } catch { /* written by hand: taken as it is */ }
  view?.end();
  view = null;
  view = views[name](main, app, rest, new URLSearchParams(query));
  document.title = `${titles[name] ?? rest} · iComet`;
  for (const a of document.querySelectorAll('nav a')) {
    const here = a.dataset.view === name || a.dataset.view === 'channels' && name === 'channel';
    a.toggleAttribute('aria-current', here);
    if (here) a.setAttribute('aria-current', 'page');
  }
}

const state = document.getElementById('state');

function tell(text, kind) {
  if (state.textContent !== text) state.textContent = text; // screen readers read it aloud
  state.className = 'pill ' + kind;
}

const stale = document.getElementById('stale');

// old marks all values as those of an earlier time, or (null) as those of now.
function old(text) {
  document.body.classList.toggle('old', text !== null);
  stale.hidden = text === null;
  if (text !== null && stale.textContent !== text) stale.textContent = text;
}

function heard(event, data) {
  old(null);
  if (event === 'hello') {
    app.node = data;
    app.history.reset(data.columns, data.rows);
  } else {
    app.history.add(data.row);
    app.stats = data.stats;
    tell(data.stats.draining ? 'draining' : 'live', data.stats.draining ? 'warn' : 'good');
  }
  const n = app.node;
  document.getElementById('node').textContent =
    `${n.host} · v${n.version} · up ${duration(app.stats?.uptime_seconds ?? Date.now() / 1000 - n.started)}`;
  if (!document.hidden) view?.update?.();
}

const themeButton = document.getElementById('theme');
function showTheme() {
  const wish = document.documentElement.dataset.wish;
  themeButton.textContent = { auto: '◐ Auto', dark: '● Dark', light: '○ Light' }[wish];
  themeButton.setAttribute('aria-label', 'Theme: ' + wish);
}
themeButton.addEventListener('click', () => window.nextTheme());
addEventListener('themechange', showTheme);
showTheme();

const forget = document.getElementById('forget');
const showForget = () => {
  forget.hidden = !hasKey() && !isLocked();
  forget.textContent = isLocked() ? 'Enter key' : 'Forget key';
};
forget.addEventListener('click', () => isLocked() ? location.reload() : forgetKey());
addEventListener('keychange', showForget);
showForget();

addEventListener('hashchange', () => {
  route();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
});
document.addEventListener('visibilitychange', () => document.hidden || view?.update?.());
document.addEventListener('keydown', e => {
  if (e.key === '/' && view?.search && !e.target.closest('input, textarea, dialog')) {
    e.preventDefault();
    view.search.focus();
  }
});

route();
let since = ''; // when the server was heard last
feed((event, data) => {
  since = clock(Date.now() / 1000);
  heard(event, data);
}, text => {
  tell(text, 'bad');
  old(text === 'locked' ? null : since ? `What is shown is of ${since}: there has been no news from the server since.` : 'There has been no news from the server yet.');
});
