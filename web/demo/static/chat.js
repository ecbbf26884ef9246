// The chat's page. enter() and send() show how to use iComet; the rest draws.
'use strict';

const $ = id => document.getElementById(id);
const front = document.body.dataset.front;
const rooms = new Map(); // by name: {name, log, tab, last, unread, draft}; last: the newest text, for grouping
let comet = null; // one client, with one connection, for all rooms
let me = null; // {id, name}
let here = null; // the room that is shown
let peopleTimer;

// ---- iComet ----

function connect() {
  comet = new iComet({
    channels: [],
    subUrl: front,
    signUrl: '/sign?who=' + me.id, // the cookie of that session proves it
    pubUrl: '/pub?who=' + me.id,
    pubMethod: 'POST',
    seq: 1, // also the stored messages
    callback: (content, name) => receive(JSON.parse(content), rooms.get(name)),
  });
  comet.on('state', showState);
  comet.on('gap', e => note(rooms.get(e.channel), `${e.lost.to - e.lost.from + 1} messages could not be had any more`));
  comet.on('close', e => note(rooms.get(e.channel), 'The room was closed.'));
}

/** Connects to a room. The application's /sign decides whether it may. */
function enter(name) {
  if (!comet) connect();
  if (!rooms.has(name)) {
    rooms.set(name, newRoom(name));
    comet.add(name);
  }
  show(rooms.get(name));
}

function leave(room) {
  rooms.delete(room.name); // first: remove() tells the new state
  comet.remove(room.name);
  room.tab.remove();
  const [next] = rooms.values();
  if (next) return show(next);
  comet.stop();
  comet = here = null;
  $('chat').hidden = true;
  $('welcome').hidden = false;
  $('name').focus();
}

/** Sends a text. It is drawn at once, and again for good when it comes back. */
function send(text, room) {
  const line = draw({ user: me.id, name: me.name, text, at: Date.now() }, room, 'pending');
  comet.channel(room.name).pub(text).catch(async error => {
    line.classList.replace('pending', 'failed');
    toast(error.message === 'HTTP 429' ? 'Not so fast, please.' : 'It was not sent. Tap the message to try again.');
    line.onclick = () => {
      line.remove();
      send(text, room);
    };
  });
}

function receive(msg, room) {
  if (msg.kind === 'join') return note(room, msg.user === me.id ? 'You joined' : `${msg.name} joined`);
  if (msg.user === me.id) {
    const sent = [...room.log.querySelectorAll('.pending')].find(l => l.text === msg.text);
    if (sent && sent === room.log.lastChild) {
      sent.classList.remove('pending');
      room.last = msg;
      return;
    }
    if (sent) sent.remove(); // others were first: it moves to its place
  } else if (room !== here) {
    room.unread++;
    showTab(room);
  }
  draw(msg, room);
}

const wording = {
  connecting: 'Connecting', open: 'Live', waiting: 'Reconnecting', offline: 'Offline',
  unauthorized: 'Not admitted', closed: 'Closed', ended: 'Ended', stopped: 'Left', failed: 'Not supported',
};

/** Shows the state of the room that is shown. */
function showState(e) {
  if (!here || e.channel !== here.name) return;
  $('state').dataset.state = e.state;
  $('state-text').textContent = wording[e.state];
  $('state').title = e.state === 'open' ? `by ${e.transport}${e.follower ? ', in another tab' : ''}` : '';
  if (e.state === 'open') countPeople();
}

async function countPeople() {
  clearTimeout(peopleTimer);
  if (!here) return;
  peopleTimer = setTimeout(countPeople, 5000);
  const room = here;
  const r = await fetch(`/people?who=${me.id}&cname=${encodeURIComponent(comet.channel(room.name).cname)}`).catch(() => null);
  if (!r || !r.ok || room !== here) return;
  const { people } = await r.json();
  $('people').textContent = people === 1 ? '1 connection' : `${people} connections`;
}

// ---- the rooms ----

function newRoom(name) {
  const room = { name, log: el('ol', 'log'), tab: el('button', 'tab'), last: null, unread: 0, draft: '' };
  room.log.setAttribute('role', 'log');
  room.log.ariaLive = 'polite';
  room.tab.type = 'button';
  room.tab.onclick = () => show(room);
  $('rooms').append(room.tab);
  return room;
}

/** Shows a room, with what was typed there and not sent. */
function show(room) {
  const before = here;
  here = room;
  if (before && before !== room) {
    before.draft = $('text').value;
    showTab(before);
  }
  if (before !== room) {
    $('text').value = room.draft;
    $('scroll').replaceChildren(room.log);
    $('people').textContent = '\u00a0';
  }
  room.unread = 0;
  showTab(room);
  history.replaceState(null, '', '?room=' + encodeURIComponent(room.name));
  document.title = `#${room.name} · iComet chat`;
  $('title').textContent = room.name;
  const { state, transport } = comet.channel(room.name);
  showState({ channel: room.name, state, transport });
  fit();
  atEnd = true;
  stay();
  $('text').focus();
}

function showTab({ name, tab, unread }) {
  tab.replaceChildren('#' + name);
  if (unread) tab.append(el('span', 'unread', unread));
  tab.ariaCurrent = here && here.name === name ? 'true' : null;
}

// ---- drawing: everything from others goes in as text, never as HTML ----

function el(tag, className, text) {
  const e = document.createElement(tag);
  e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

function hue(id) {
  let h = 0;
  for (const c of id) h = (h * 31 + c.codePointAt(0)) % 360;
  return h;
}

function initials(name) {
  return name.split(' ').slice(0, 2).map(w => [...w][0]).join('').toUpperCase();
}

function time(at) {
  return new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}

function draw(msg, room, extra = '') {
  const { last } = room;
  const same = last && last.user === msg.user && msg.at - last.at < 120000;
  const line = el('li', `msg ${msg.user === me.id ? 'mine' : ''} ${same ? 'same' : ''} ${extra}`);
  line.text = msg.text;
  const avatar = el('span', 'avatar', initials(msg.name));
  avatar.style.setProperty('--hue', hue(msg.user));
  avatar.setAttribute('aria-hidden', 'true');
  const who = el('div', 'who');
  who.append(el('b', '', msg.name), time(msg.at));
  const bubble = el('div', 'bubble');
  for (const part of msg.text.split(/(https?:\/\/[^\s<>"]+)/)) {
    if (!/^https?:\/\//.test(part)) {
      bubble.append(part);
      continue;
    }
    const a = el('a', '', part);
    a.href = part;
    a.target = '_blank';
    a.rel = 'noopener noreferrer';
    bubble.append(a);
  }
  line.append(avatar, who, bubble);
  add(line, room);
  if (!extra) room.last = msg;
  return line;
}

function note(room, text) {
  if (!room) return; // it was left
  room.last = null;
  add(el('li', 'note', text), room);
}

function add(line, room) {
  room.log.append(line);
  while (room.log.children.length > 500) room.log.firstChild.remove();
  if (room !== here) return;
  if (line.classList.contains('mine')) atEnd = true;
  stay();
}

// A reader at the end of the list stays there when the height changes.
let atEnd = true;
function stay() {
  if (atEnd) $('scroll').scrollTop = $('scroll').scrollHeight;
}
$('scroll').onscroll = () => {
  const s = $('scroll');
  atEnd = s.scrollHeight - s.scrollTop - s.clientHeight < 60;
};
new ResizeObserver(stay).observe($('scroll'));

let toastTimer;
function toast(text) {
  $('toast').textContent = text;
  $('toast').hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => ($('toast').hidden = true), 3000);
}

// ---- the page ----

const wanted = new URLSearchParams(location.search).get('room');
if (wanted) $('room').value = wanted;

/** Asks the application for a session, and enters a room. Returns what is wrong. */
async function join(form) {
  if (me) form.set('who', me.id);
  const r = await fetch('/join', { method: 'POST', body: form }).catch(() => null);
  if (!r || !r.ok) return r ? r.text() : 'The application does not answer.';
  me = await r.json();
  $('welcome').hidden = true;
  $('chat').hidden = false;
  enter(form.get('room'));
}

$('join').onsubmit = async e => {
  e.preventDefault();
  $('trouble').hidden = true;
  const trouble = await join(new URLSearchParams(new FormData($('join'))));
  if (!trouble) return;
  $('trouble').textContent = trouble;
  $('trouble').hidden = false;
};

$('more').onsubmit = async e => {
  e.preventDefault();
  const room = $('more-room').value;
  $('more-room').value = '';
  if (rooms.has(room)) return show(rooms.get(room));
  const trouble = await join(new URLSearchParams({ name: me.name, room }));
  if (trouble) toast(trouble);
};

$('leave').onclick = () => leave(here);

$('share').onclick = async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    toast('The link to this room is copied.');
  } catch {
    toast(location.href);
  }
};

$('send').onsubmit = e => {
  e.preventDefault();
  const text = $('text').value.trim();
  if (!text) return;
  $('text').value = '';
  fit();
  send(text, here);
  $('text').focus();
};

// Enter sends, Shift+Enter starts a new line. beforeinput, because the keyboards of
// phones do not name their keys.
let shift = false;
$('text').addEventListener('keydown', e => { // an on… handler that returns false would cancel the key
  shift = e.shiftKey;
});
$('text').addEventListener('beforeinput', e => {
  if (e.inputType !== 'insertLineBreak' || shift) return;
  e.preventDefault();
  $('send').requestSubmit();
});

function fit() {
  $('text').style.height = 'auto';
  $('text').style.height = $('text').scrollHeight + 2 + 'px';
}
$('text').oninput = fit;
