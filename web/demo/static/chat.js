// The chat's page. enter() and send() show how to use iComet; the rest draws.
'use strict';

const $ = id => document.getElementById(id);
const front = document.body.dataset.front;
let comet = null;
let me = null; // {id, name}
let last = null; // the last text message drawn, for grouping
let peopleTimer;

// ---- iComet ----

/** Connects to the room. The application's /sign decides whether it may. */
function enter(room) {
  comet = new iComet({
    channel: room,
    subUrl: front,
    signUrl: '/sign?who=' + me.id, // the cookie of that session proves it
    pubUrl: '/pub?who=' + me.id,
    pubMethod: 'POST',
    seq: 1, // also the stored messages
    autoStart: false,
    callback: content => receive(JSON.parse(content)),
  });
  comet.on('state', showState);
  comet.on('gap', e => note(`${e.lost.to - e.lost.from + 1} messages could not be had any more`));
  comet.on('close', () => note('The room was closed.'));
  comet.start();
}

/** Sends a text. It is drawn at once, and again for good when it comes back. */
function send(text) {
  const line = draw({ user: me.id, name: me.name, text, at: Date.now() }, 'pending');
  comet.pub(text).catch(async error => {
    line.classList.replace('pending', 'failed');
    toast(error.message === 'HTTP 429' ? 'Not so fast, please.' : 'It was not sent. Tap the message to try again.');
    line.onclick = () => {
      line.remove();
      send(text);
    };
  });
}

function receive(msg) {
  if (msg.kind === 'join') return note(msg.user === me.id ? 'You joined' : `${msg.name} joined`);
  if (msg.user === me.id) {
    const sent = [...document.querySelectorAll('.pending')].find(l => l.text === msg.text);
    if (sent && sent === $('log').lastChild) {
      sent.classList.remove('pending');
      last = msg;
      return;
    }
    if (sent) sent.remove(); // others were first: it moves to its place
  }
  draw(msg);
}

const wording = {
  connecting: 'Connecting', open: 'Live', waiting: 'Reconnecting', offline: 'Offline',
  unauthorized: 'Not admitted', closed: 'Closed', stopped: 'Left', failed: 'Not supported',
};

function showState(e) {
  $('state').dataset.state = e.state;
  $('state-text').textContent = wording[e.state];
  $('state').title = e.state === 'open' ? `by ${e.transport}${e.follower ? ', in another tab' : ''}` : '';
  if (e.state === 'open') countPeople();
}

async function countPeople() {
  clearTimeout(peopleTimer);
  if (!comet) return;
  peopleTimer = setTimeout(countPeople, 5000);
  const r = await fetch(`/people?who=${me.id}&cname=${encodeURIComponent(comet.cname)}`).catch(() => null);
  if (!r || !r.ok || !comet) return;
  const { people } = await r.json();
  $('people').textContent = people === 1 ? '1 connection' : `${people} connections`;
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

function draw(msg, extra = '') {
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
  add(line);
  if (!extra) last = msg;
  return line;
}

function note(text) {
  last = null;
  add(el('li', 'note', text));
}

function add(line) {
  $('log').append(line);
  while ($('log').children.length > 500) $('log').firstChild.remove();
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

$('join').onsubmit = async e => {
  e.preventDefault();
  $('trouble').hidden = true;
  const form = new URLSearchParams(new FormData($('join')));
  if (me) form.set('who', me.id);
  const r = await fetch('/join', { method: 'POST', body: form }).catch(() => null);
  if (!r || !r.ok) {
    $('trouble').textContent = r ? await r.text() : 'The application does not answer.';
    $('trouble').hidden = false;
    return;
  }
  me = await r.json();
  const room = $('room').value;
  history.replaceState(null, '', '?room=' + encodeURIComponent(room));
  document.title = `#${room} · iComet chat`;
  $('title').textContent = room;
  $('welcome').hidden = true;
  $('chat').hidden = false;
  $('text').focus();
  enter(room);
};

$('leave').onclick = () => {
  comet.stop();
  comet = null;
  last = null;
  $('log').replaceChildren();
  $('chat').hidden = true;
  $('welcome').hidden = false;
  $('name').focus();
};

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
  send(text);
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
