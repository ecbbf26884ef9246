// The channel list: search, sort, pages. The server has no index of its channels, so each
// page is a walk over all of them, and the list is requested sparingly.
import { get } from './api.js';
import { count, duration, el, short } from './ui.js';

const limit = 50;
const sorts = [['subscribers', 'Subscribers'], ['rate', 'Messages/s'], ['stored', 'Stored'], ['name', 'Name']];

export const channelLink = name => '#/channel/' + encodeURIComponent(name);

// nextLook returns after how many ms to request the list again, so that walks take at
// most a twentieth of the time.
const nextLook = took => Math.max(3000, 20 * took);

export function channels(main, app, rest, params) {
  const wish = { search: params.get('search') ?? '', sort: params.get('sort') ?? 'subscribers' };
  const pages = [null]; // for each page so far, what it begins after
  const known = new Map(); // name to {next, at}, for rates of other sorts
  let timer, debounce, abort, ended = false;

  const search = el('input', { type: 'search', placeholder: 'Part of a name', value: wish.search, 'aria-label': 'Search channels', oninput: () => {
    clearTimeout(debounce);
    debounce = setTimeout(() => begin({ search: search.value.trim() }), 250);
  } });
  const sort = el('select', { 'aria-label': 'Sort by', onchange: () => begin({ sort: sort.value }) },
    ...sorts.map(([value, label]) => el('option', { value, selected: value === wish.sort }, label)));
  const body = el('tbody');
  const summary = el('p', { className: 'quiet', role: 'status' }, 'Looking…');
  const prev = el('button', { disabled: true, onclick: () => { pages.pop(); load(); } }, '← Previous');
  const next = el('button', { disabled: true, onclick: () => { pages.push(next.after); load(); } }, 'Next →');
  const page = el('span', { className: 'quiet' }, 'Page 1');
  const open = el('a', { className: 'plain', hidden: true });
  const scope = el('p', { className: 'quiet', hidden: true },
    'Several nodes share the channels. Here are those that have, or just had, subscribers on this node, and only these subscribers are counted.');
  main.replaceChildren(
    el('h1', {}, 'Channels'), scope,
    el('form', { className: 'bar', role: 'search', onsubmit: e => { e.preventDefault(); begin({ search: search.value.trim() }); } },
      search, el('label', {}, 'Sort by ', sort), open),
    el('div', { className: 'card scroll' }, el('table', { className: 'channels' },
      el('thead', {}, el('tr', {},
        el('th', { scope: 'col' }, 'Channel'), el('th', { scope: 'col', className: 'number' }, 'Subscribers'),
        el('th', { scope: 'col', className: 'number' }, 'Messages/s'), el('th', { scope: 'col', className: 'number wide' }, 'Stored'),
        el('th', { scope: 'col', className: 'number wide' }, 'Next seq'),
        el('th', { scope: 'col', className: 'number wide' }, 'Oldest'),
        el('th', { scope: 'col', className: 'wide' }, 'Class'),
        el('th', { scope: 'col', className: 'wide' }, 'Epoch'))),
      body)),
    el('div', { className: 'bar pager' }, prev, page, next, summary));

  function begin(change) {
    Object.assign(wish, change);
    pages.length = 1;
    history.replaceState(null, '', '#/channels?' + new URLSearchParams(wish));
    load();
  }

  function row(c, now) {
    const before = known.get(c.name);
    let rate = wish.sort === 'rate' ? c.rate : before && now > before.at ? (c.next - before.next) / ((now - before.at) / 1000) : null;
    if (rate < 0) rate = null; // closed and created again
    return el('tr', {},
      el('td', { className: 'name' }, el('a', { href: channelLink(c.name) }, c.name)),
      el('td', { className: 'number' }, count(c.subscribers)),
      el('td', { className: 'number' }, rate == null ? '–' : short(rate)),
      el('td', { className: 'number wide' }, count(c.stored)),
      el('td', { className: 'number wide' }, c.ended ? el('span', { className: 'mark' }, 'ended') : null, count(c.next)),
      el('td', { className: 'number wide' }, c.stored > 0 ? duration(c.oldest_age) : '–'),
      el('td', { className: 'wide' }, c.class || '–'),
      el('td', { className: 'wide' }, el('code', {}, c.epoch)));
  }

  async function load() {
    clearTimeout(timer);
    abort?.abort();
    abort = new AbortController();
    const after = pages.at(-1), signal = abort.signal;
    const params = { ...wish, limit, ...(after && { after: after.name, value: after.value }) };
    body.setAttribute('aria-busy', 'true');
    const soon = known.size === 0; // rates need two readings
    let took = 0;
    try {
      const list = await get('dashboard/channels', params, signal);
      if (ended || signal.aborted) return;
      took = list.took_ms;
      show(list);
    } catch (e) {
      if (ended || signal.aborted) return;
      summary.textContent = e.message;
      if (e.final) return body.removeAttribute('aria-busy');
    }
    body.removeAttribute('aria-busy');
    timer = setTimeout(() => document.hidden ? load.later() : load(), soon ? Math.max(1200, 20 * took) : nextLook(took));
  }
  // A hidden page requests nothing.
  load.later = () => document.addEventListener('visibilitychange', () => !ended && load(), { once: true });

  function show(list) {
    const now = performance.now(), focused = document.activeElement?.closest('td')?.textContent;
    const rows = list.channels.map(c => row(c, now));
    known.clear();
    for (const c of list.channels) known.set(c.name, { next: c.next, at: now });
    body.replaceChildren(...rows);
    if (focused !== undefined) rows.find(r => r.firstChild.textContent === focused)?.querySelector('a').focus();
    if (rows.length === 0) {
      body.append(el('tr', {}, el('td', { colSpan: 8, className: 'quiet' },
        wish.search ? 'No channel has this in its name.' : pages.length > 1 ? 'There are no more.' : list.scope === 'node' ? 'No channel has subscribers on this node.' : 'There are no channels. One is made by the first subscriber, publish or sign.')));
    }
    scope.hidden = list.scope !== 'node';
    const last = list.channels.at(-1);
    next.after = last && { name: last.name, value: last.value };
    next.disabled = !list.more;
    prev.disabled = pages.length === 1;
    page.textContent = `Page ${count(pages.length)}`;
    summary.textContent = `${count(list.matched)} ${wish.search ? 'match' : list.matched === 1 ? 'channel' : 'channels'}`;
    open.hidden = !wish.search;
    open.href = channelLink(wish.search);
    open.textContent = `Open “${wish.search}”`;
  }

  load();
  return {
    search,
    end: () => {
      ended = true;
      clearTimeout(timer);
      clearTimeout(debounce);
      abort?.abort();
    },
  };
}
