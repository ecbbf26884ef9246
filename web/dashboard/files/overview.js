// The first view: totals, charts, loops, closed connections.
import { Chart, steps } from './charts.js';
import { bytes, count, el, millis, short, store } from './ui.js';

const perSecond = v => v == null ? '–' : short(v) + '/s';
const bytesPerSecond = v => v == null ? '–' : bytes(v) + '/s';
const share = v => v == null ? '–' : Number((v * 100).toPrecision(3)) + ' %';
const span = { key: 'icomet-span', choices: [[60, '1 min'], [300, '5 min'], [600, '10 min']] };

const local = store('localStorage');

const gauges = (h, rows, names) => Object.fromEntries(names.map(n => [n, h.gauge(rows, n)]));

const axisSteps = new Map([[short, steps.count], [bytes, steps.bytes], [bytesPerSecond, steps.bytes]]);

// charts are title, format, and the lines for the rows in view.
const charts = [
  ['Subscribers by transport', short, (h, r) => gauges(h, r, ['poll', 'stream', 'sse', 'iframe', 'websocket'])],
  ['Publishes', perSecond, (h, r) => ({ publishes: h.rates(r, 'publishes') })],
  ['Deliveries', perSecond, (h, r) => ({ live: h.rates(r, 'deliveries'), replayed: h.rates(r, 'replayed') })],
  ['Traffic', bytesPerSecond, (h, r) => ({ out: h.rates(r, 'bytes_out'), in: h.rates(r, 'bytes_in') })],
  ['Channels', short, (h, r) => ({ channels: h.gauge(r, 'channels') })],
  ['Event loop lag', millis, (h, r) => ({ worst: h.gauge(r, 'lag') })],
  ['Connections closed', perSecond, closings],
  ['Memory', bytes, (h, r) => ({ resident: h.gauge(r, 'rss'), 'in use': h.gauge(r, 'used'), heap: h.gauge(r, 'heap') })],
  ['Garbage collection', share, (h, r) => ({ 'of one processor': h.rates(r, 'gc_cpu') })],
];

// closings lists slow consumers always, and the other reasons that have occurred, the
// most frequent first.
function closings(h, rows) {
  const grown = n => rows.length ? rows.at(-1)[h.index[n]] - rows[0][h.index[n]] : 0;
  const others = h.columns.filter(n => n.startsWith('closed_') && n !== 'closed_slow_consumer' && grown(n) > 0)
    .sort((a, b) => grown(b) - grown(a)).slice(0, 5);
  return Object.fromEntries(['closed_slow_consumer', ...others]
    .map(n => [n.slice('closed_'.length).replaceAll('_', ' '), h.rates(rows, n)]));
}

function tile(label, value, note, level) {
  return el('div', { className: 'card tile ' + (level ?? '') },
    el('dt', {}, label), el('dd', {}, value, el('small', {}, note ?? '')));
}

// level colours a value that is near its limit.
const level = (n, limit) => !limit ? '' : n >= limit ? 'bad' : n >= 0.85 * limit ? 'warn' : '';

function tiles(h, stats) {
  const c = stats.connections, m = stats.runtime, open = c.front + c.admin;
  const slow = stats.closed_total_by_reason.slow_consumer, lag = h.last('lag');
  return [
    tile('Connections', count(open), `of ${count(c.limit)} at most`, level(open, c.limit)),
    tile('Subscribers', count(stats.subscribers), `on ${count(stats.channels)} channels`),
    tile('Publishes', perSecond(h.rate('publishes', 3)), `${short(stats.publishes_total)} so far`),
    tile('Deliveries', perSecond(h.rate('deliveries', 3)), `${short(stats.deliveries_total)} so far`),
    tile('Sent', bytesPerSecond(h.rate('bytes_out', 3)), `${bytes(stats.bytes_out_total)} so far`),
    tile('Loop lag', millis(lag), `${short(h.last('queued'))} queued`, lag > 1 ? 'bad' : lag > 0.1 ? 'warn' : ''),
    tile('Memory', bytes(m.rss_bytes), m.memory_limit_bytes ? `${bytes(m.memory_used_bytes)} in use of ${bytes(m.memory_limit_bytes)}` : `${bytes(m.memory_used_bytes)} in use`,
      m.refusing_for_memory ? 'bad' : level(m.memory_used_bytes, m.memory_limit_bytes)),
    tile('Slow clients cut', count(slow), perSecond(h.rate('closed_slow_consumer', 10)), h.rate('closed_slow_consumer', 10) > 0 ? 'warn' : ''),
  ];
}

function table(caption, head, rows, empty) {
  return el('section', { className: 'card' }, el('h2', {}, caption),
    rows.length === 0 ? el('p', { className: 'quiet' }, empty) : el('div', { className: 'scroll' }, el('table', {},
      el('thead', {}, el('tr', {}, ...head.map((t, i) => el('th', { scope: 'col', className: i ? 'number' : '' }, t)))),
      el('tbody', {}, ...rows.map(r => el('tr', {}, ...r.map((t, i) => el('td', { className: i ? 'number' : '' }, t))))))));
}

function tables(stats) {
  const told = by => Object.entries(by).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1])
    .map(([name, n]) => [name.replaceAll('_', ' '), count(n)]);
  return [
    ...secured(stats.tls),
    table('Event loops', ['loop', 'queued', 'deliveries', 'lag', 'worst'], stats.loops.map((l, i) =>
      [String(i), count(l.queued_messages), short(l.deliveries_total), millis(l.lag_ms / 1000), millis(l.lag_max_ms / 1000)]), ''),
    table('Closed, since the start', ['reason', 'connections'], told(stats.closed_total_by_reason), 'No connection has been closed yet.'),
    table('Refused, since the start', ['reason', 'times'], told(stats.refused_total_by_reason), 'Nothing has been refused yet.'),
  ];
}

// secured are the tables of the ports that speak TLS.
function secured(tls) {
  if (!tls) return [];
  const ports = Object.entries(tls).sort().reverse(); // front, admin
  const failed = results => Object.entries(results).reduce((sum, [result, n]) => result === 'ok' ? sum : sum + n, 0);
  return [
    table('TLS handshakes', ['port', 'done', 'resumed', 'failed', 'at work', 'waiting'], ports.map(([role, t]) => {
      const by = t.handshakes_total_by_result;
      return [role, ...[by.ok, t.resumed_total, failed(by), t.handshakes_in_flight, t.handshakes_waiting].map(count)];
    }), ''),
    table('Certificates', ['for', 'port', 'ends', 'in days'], ports.flatMap(([role, t]) => t.certificates.map(c => {
      const days = Math.floor((new Date(c.not_after) - Date.now()) / 86400e3);
      const left = el('span', { className: days < 0 ? 'pill bad' : days < 14 ? 'pill warn' : '' }, count(days));
      return [el('span', { className: 'name', title: c.file }, c.names[0] ?? c.file), role, c.not_after.slice(0, 10), left];
    })), ''),
  ];
}

export function overview(main, app) {
  const drawn = charts.map(([title, format, lines]) => ({ chart: new Chart(title, format, axisSteps.get(format)), lines }));
  const top = el('dl', { className: 'tiles', 'aria-label': 'Totals' });
  const bottom = el('div', { className: 'grid' });
  let seconds = Number(local.get(span.key)) || 300;
  const choices = span.choices.map(([value, label]) => el('label', {},
    el('input', { type: 'radio', name: 'span', value, checked: value === seconds, onchange: () => {
      seconds = value;
      local.set(span.key, value);
      draw();
    } }), label));
  main.replaceChildren(
    el('h1', { className: 'hidden' }, 'Overview'), top,
    el('fieldset', { className: 'span' }, el('legend', { className: 'hidden' }, 'Time shown'), ...choices),
    el('div', { className: 'grid charts' }, ...drawn.map(d => d.chart.element)), bottom);

  function draw() {
    const h = app.history;
    if (h.rows.length === 0) return;
    const rows = h.window(seconds), times = h.times(rows);
    for (const { chart, lines } of drawn) chart.show(times, lines(h, rows));
    if (app.stats) {
      top.replaceChildren(...tiles(h, app.stats));
      bottom.replaceChildren(...tables(app.stats));
    }
  }
  draw();
  return { update: draw, end: () => drawn.forEach(d => d.chart.destroy()) };
}
