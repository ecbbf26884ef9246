// The configuration in effect, and the node.
import { get } from './api.js';
import { duration, el } from './ui.js';

function value(k) {
  if (k.secret) return el('em', {}, k.set ? 'set, hidden' : 'not set');
  const v = Array.isArray(k.value) ? k.value.join(', ') : String(k.value);
  return v === '' ? el('em', {}, Array.isArray(k.value) ? 'none' : 'not set') : el('code', {}, v);
}

const mark = (on, text, title) => on ? el('span', { className: 'mark', title }, text) : null;

// breakable allows line breaks after the underscores of a long key.
const breakable = key => key.split(/(?<=_)/).flatMap(part => [part, el('wbr')]);

function section(name, keys) {
  return el('section', { className: 'card' }, el('h2', {}, name || 'general'), el('table', { className: 'config' },
    el('tbody', {}, ...keys.map(k => el('tr', {},
      el('th', { scope: 'row' }, ...breakable(k.key.slice(name ? name.length + 1 : 0))),
      el('td', {}, value(k), ' ', mark(k.changed, 'changed', 'not the default'), mark(k.restart, 'restart', 'a change needs a restart')))))));
}

function node(n, uptime) {
  const facts = [
    ['Version', n.version], ...(n.revision === 'unknown' ? [] : [['Commit', n.revision.replace(/^(.{12})[0-9a-f]*/, '$1')], ['Of', n.date]]), ['Go', n.go], ['gnet', n.gnet], ['Host', n.host], ['Process', String(n.pid)],
    ['Up for', duration(uptime ?? Date.now() / 1000 - n.started)], ['Front port', n.front], ['Admin port', n.admin],
    ['Event loops', String(n.loops)], ['Engine', n.engine],
  ];
  return el('section', { className: 'card' }, el('h2', {}, 'Node'),
    el('dl', { className: 'facts' }, ...facts.map(([k, v]) => el('div', {}, el('dt', {}, k), el('dd', {}, v)))));
}

export function config(main, app) {
  const nodeBox = el('div', { className: 'apart' }), box = el('div', { className: 'columns' }, el('p', { className: 'quiet' }, 'Looking…'));
  main.replaceChildren(el('h1', {}, 'Configuration'), nodeBox, box);
  let ended = false;
  get('dashboard/config').then(({ keys }) => {
    if (ended) return;
    const sections = Map.groupBy ? Map.groupBy(keys, sectionOf) : grouped(keys);
    box.replaceChildren(...[...sections].map(([name, list]) => section(name, list)));
  }).catch(e => { box.textContent = e.message; });
  const update = () => app.node && nodeBox.replaceChildren(node(app.node, app.stats?.uptime_seconds));
  update();
  return { update, end: () => { ended = true; } };
}

const sectionOf = k => k.key.includes('.') ? k.key.slice(0, k.key.lastIndexOf('.')) : '';

function grouped(keys) {
  const sections = new Map();
  for (const k of keys) sections.set(sectionOf(k), [...sections.get(sectionOf(k)) ?? [], k]);
  return sections;
}
