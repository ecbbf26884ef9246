// One channel: its state, its messages and the actions on it. The tail reads the buffer
// once a second; that neither creates the channel nor subscribes to it.
import { call, get } from './api.js';
import { ask, bytes, clock, count, duration, el, toast } from './ui.js';

const period = 1000; // ms between two reads
const shown = 500; // messages kept in the page
const longest = 255; // bytes of a name

const size = text => new TextEncoder().encode(text).length;

export function channel(main, app, name) {
  const length = size(name);
  if (length < 1 || length > longest) {
    main.replaceChildren(
      el('p', {}, el('a', { href: '#/channels' }, '← Channels')),
      el('p', { role: 'status' }, `There is no such channel: a name has 1 to ${longest} bytes, this one has ${count(length)}.`));
    return { end: () => {} };
  }
  const facts = el('dl', { className: 'facts' });
  const tail = el('ol', { className: 'tail', tabIndex: 0, 'aria-label': 'Messages, the newest last' });
  const note = el('p', { className: 'quiet', role: 'status' }, 'Looking…');
  const arrived = new Map(); // seq to when, of what is not shown yet
  const paused = el('input', { type: 'checkbox' });
  let next = 0, there = null, subscribers = 0, before = null, timer, ended = false;

  const publish = el('button', { className: 'primary', onclick: askPublish }, 'Publish…');
  const clear = el('button', { onclick: askClear }, 'Clear…');
  const close = el('button', { className: 'danger', onclick: askClose }, 'Close…');
  main.replaceChildren(
    el('p', {}, el('a', { href: '#/channels' }, '← Channels')),
    el('div', { className: 'bar head' }, el('h1', { className: 'name' }, name), el('span', { className: 'buttons' }, publish, clear, close)),
    el('section', { className: 'card' }, facts),
    el('section', { className: 'card' },
      el('div', { className: 'bar' }, el('h2', {}, 'Messages, live'), el('label', {}, paused, ' Pause')),
      tail, note));

  async function look() {
    clearTimeout(timer);
    try {
      const c = await get('dashboard/channel', { cname: name, seq: next });
      if (!ended) show(c);
    } catch (e) {
      note.textContent = e.message;
      if (e.final) return;
    }
    if (!ended) timer = setTimeout(look, period);
  }

  function show(c) {
    const first = there === null, node = c.scope === 'node';
    if (there && !c.there) entry('note', node ? 'This node follows the channel no more: closed, or without subscribers here.' : 'The channel is gone: closed, or its time was over.');
    if (!there && c.there && !first) entry('note', 'The channel is there.');
    const other = there && c.there && c.epoch !== before.epoch;
    if (other) entry('note', 'The channel is another one: it was closed, or had expired, and was made again.');
    if (there && c.there && !other && c.next >= before.next && c.stored < before.stored) {
      // Without a class, nothing else takes messages away without new ones in their place.
      if (!c.class) entry('note', 'Cleared: what was stored is dropped.');
      else if (c.stored === 0) entry('note', 'Nothing is stored any more: cleared, or older than this class keeps.');
    }
    before = c;
    if (!c.there || other || c.next < next) next = 0;
    if (other) c.messages = []; // from the old number on; the next look asks from the first
    there = c.there;
    subscribers = c.subscribers;
    clear.disabled = close.disabled = !there && !node;
    facts.replaceChildren(...[
      ['State', state(c)],
      [node ? 'Subscribers on this node' : 'Subscribers', count(c.subscribers)],
      ['Stored', there ? `${count(c.stored)} (from ${count(c.oldest)})` : '0'],
      ['Next seq', there ? count(c.next) : '1'],
      ['Oldest message', c.stored > 0 ? duration(c.oldest_age) + ' old' : '–'],
      ['Epoch', there ? c.epoch : '–'],
      ['Class', c.class || '–'],
    ].map(([k, v]) => el('div', {}, el('dt', {}, k), el('dd', {}, v))));
    // The server tells only how old the oldest message is, not when each was published.
    for (const m of c.messages) {
      if (!arrived.has(m.seq)) arrived.set(m.seq, first ? 'stored' : clock(Date.now() / 1000));
    }
    if (paused.checked) return;
    for (const m of c.messages) {
      if (next > 0 && m.seq > next) entry('note', `${count(m.seq - next)} left the buffer before they could be shown`);
      message(m);
      next = m.seq + 1;
    }
    arrived.clear();
    if (there && !other) next = Math.max(next, c.next);
    while (tail.childElementCount > shown) tail.firstChild.remove();
    note.textContent = tail.childElementCount > 0 ? '' : there ? 'Nothing is stored. What is published appears here.' : 'Once the channel is there, its messages appear here.';
  }

  function state(c) {
    if (!c.there) return c.scope === 'node' ? 'without subscribers on this node, which has no copy of it' : 'not there';
    const left = c.subscribers > 0 ? 'subscribed' : `no subscriber, expires in ${duration(c.seconds_left)}`;
    return c.ended ? 'ended, ' + left : left;
  }

  function message(m) {
    const cut = m.bytes > size(m.content);
    const marks = [arrived.get(m.seq), bytes(m.bytes)];
    if (m.type === 'broadcast') marks.unshift('broadcast');
    if (cut) marks.push('its beginning');
    entry(m.type, m.content + (cut ? '…' : ''), m.seq, marks.join(', '));
  }

  function entry(type, text, seq, marks = clock(Date.now() / 1000)) {
    const atEnd = tail.scrollTop + tail.clientHeight >= tail.scrollHeight - 20;
    tail.append(el('li', { className: type },
      el('b', {}, seq === undefined ? '·' : String(seq)), el('span', {}, text), el('small', {}, marks)));
    if (atEnd) tail.scrollTop = tail.scrollHeight;
  }

  async function act(path, params, done) {
    try {
      await call(path, { cname: name, ...params });
      toast(done);
    } catch (e) {
      toast(e.message, true);
    }
    look();
  }

  const audience = () => subscribers === 1 ? '1 subscriber' : `${count(subscribers)} subscribers`;

  async function askPublish() {
    const content = el('textarea', { name: 'content', rows: 4, required: true, autofocus: true });
    const values = await ask({
      title: 'Publish to ' + name, confirm: 'Publish',
      text: !there ? 'The channel is not there: publishing makes it.'
        : subscribers > 0 ? `It goes to ${audience()} now.` : 'Nobody is subscribed: it is stored for those who come.',
      fields: [el('label', {}, 'Content', content)],
    });
    if (values) act('push', { content: values.content }, 'Published.');
  }

  async function askClear() {
    if (await ask({ title: `Clear ${name}?`, confirm: 'Clear', danger: true, text: 'The stored messages are dropped. Subscribers and numbering stay.' })) {
      act('clear', {}, 'Cleared.');
    }
  }

  async function askClose() {
    if (await ask({ title: `Close ${name}?`, confirm: 'Close the channel', danger: true, text: `The channel is freed, and ${audience()} told that it is closed.` })) {
      act('close', {}, 'Closed.');
    }
  }

  look();
  return { end: () => { ended = true; clearTimeout(timer); } };
}
