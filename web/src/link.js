import { now, query } from './request.js';
import { isPoll, openers } from './transports.js';

const MAX = 100; // channels of one connection: the server's default limit
const MAX_JSONP = 10; // the same where all of them must fit into a URL
const GATHER = 10; // ms in which the channels of a page come together before a connection is made
const REGATHER = 50; // ms, the same before one is made again for an added channel
const LINGER = 2000; // ms after which one is made again without the removed channels
const PLACED_LIMIT = 4000; // ms after the head in which each channel must have its position
const SETTLED = 5000; // ms after which a connection counts as good
const LONG = 4000; // characters of the channels in a URL; more are sent as a form
const BURST = 80; // commands sent at once by WebSocket
const PACE = 80; // ms for each further one: the server takes 20 in a second

const groups = new Map();

/** A subscription as it stands in a URL. */
export const parameters = (cname, { seq, token, epoch }) => query('', { cname, seq, token }).slice(1) + '&epoch=' + epoch;

/**
 * What the instances of a page have in common that ask the same server in the same way: the
 * transport in use, and their connections. `alone`: for an instance that has its own.
 */
export function groupOf(key, alone) {
  const group = (!alone && groups.get(key)) || {
    _at: 0, // index of the transport in use
    _switched: 0, // when it was chosen
    _sockets: false, // whether a WebSocket has been open
    _ping: null, // the /ping under way
    _max: alone ? 1 : MAX, // channels of one connection
    _links: new Set(),
    _waiting: new Set(), // the instances whose connection has failed
  };
  if (!alone) groups.set(key, group);
  return group;
}

/**
 * Puts a subscription on a connection, which it returns. `server`: where the instance asks
 * (its _base, _extra and _init). A subscription has
 *
 *     cname, due              due: it is told its position before anything else
 *     from(placed)            where it begins now: {seq, token, epoch}
 *     open(), messages(list), end(error, more), advanced()
 */
export function subscribe(group, name, server, sub) {
  let link = [...group._links].find(l => l._takes(name, sub.cname));
  if (!link) group._links.add((link = new Link(group, name, server)));
  link._add(sub);
  return link;
}

/** One connection, and the subscriptions on it. It ends with the last of them, or ends them all. */
class Link {
  constructor(group, name, server) {
    this._group = group;
    this._name = name;
    this._server = server;
    this._subs = new Map(); // by channel
    this._close = null; // ends the connection
    this._old = []; // end those that it replaces
    this._timer = null; // until _open
    this._ending = false;
    this._heard = 0; // when something came
  }

  _takes(name, cname) {
    const max = name === 'jsonp' ? MAX_JSONP : MAX;
    return name === this._name && this._subs.size < Math.min(this._group._max, max) && !this._subs.has(cname);
  }

  _all() {
    return [...this._subs.values()];
  }

  /** Whether there is a WebSocket, open or not yet: it is changed by commands, and not made again. */
  _isSocket() {
    return this._name === 'ws' && this._close;
  }

  _add(sub) {
    this._subs.set(sub.cname, sub);
    if (this._isSocket()) this._command(sub);
    else if (!this._ending) this._later(this._close ? REGATHER : GATHER);
  }

  /** Removes a subscription. The others are not disturbed. */
  _leave(sub) {
    const { cname } = sub;
    if (this._subs.get(cname) !== sub) return;
    this._subs.delete(cname);
    if (!this._subs.size) {
      this._shut();
      if (!this._ending) this._group._links.delete(this);
    } else if (sub.asked && !sub.over) {
      if (this._isSocket()) {
        this._leaving.set(cname, (this._leaving.get(cname) || 0) + 1);
        this._command(cname);
      } else if (!isPoll(this._name)) {
        this._timer = this._timer || setTimeout(() => this._open(), LINGER);
      }
    }
  }

  _later(ms) {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._open(), ms);
  }

  _shut() {
    for (const timer of [this._timer, this._placing, this._pacing]) clearTimeout(timer);
    for (const close of this._old.concat(this._close || [])) close();
    this._old = [];
    this._close = this._send = this._timer = null;
  }

  /** Connects. The connection that was there goes on until the new one is there: so nothing is missed where nothing is stored. */
  _open() {
    for (const timer of [this._timer, this._placing]) clearTimeout(timer);
    this._timer = null;
    if (this._close) this._old.push(this._close);
    this._since = now();
    this._got = 0; // messages that are no position
    this._moved = this._old.length > 0; // whether an answer had something new, or was asked for again
    this._head = false;
    this._queue = []; // of a WebSocket: subscriptions to ask for, and names of channels to leave
    this._leaving = new Map(); // by channel: how many answers to that are still to come
    let close;
    let live = true;
    const end = () => {
      live = false;
      if (close) close();
    };
    this._close = end;
    const current = () => live && this._close === end;
    const on = {
      open: send => {
        if (!current()) return;
        this._head = true;
        if (send) this._commands(send);
        // A server that does not know several channels serves the first one.
        else this._placing = setTimeout(() => this._lacks() && this._solo(), PLACED_LIMIT);
        for (const sub of this._all()) sub.asked && sub.open();
      },
      alive: () => {
        this._heard = now();
      },
      messages: list => {
        if (current()) {
          for (const old of this._old.splice(0)) old();
        }
        for (const msg of list) live && this._take(msg, current());
      },
      end: (error, more) => current() && this._end(error, more),
    };
    try {
      const [url, init] = this._request();
      close = openers[this._name](url, on, init);
    } catch (error) { // what the page may not even try
      on.end(error, { refused: true });
    }
  }

  /** What an opener needs: the function that makes the URL of a path, and what fetch gets with it. */
  _request() {
    const { _base: base, _extra: extra, _init: init } = this._server;
    const ws = this._name === 'ws';
    const subs = this._all();
    const list = subs.map(sub => parameters(sub.cname, sub.from(sub.placed))).join('&');
    const long = list.length > LONG && this._name !== 'jsonp';
    for (const sub of subs) sub.asked = !(ws && long);
    if (ws && long) this._queue = subs;
    return [
      path => base + path + extra + (long ? '' : (extra ? '&' : '?') + list),
      long && !ws ? { ...init, method: 'POST', body: new URLSearchParams(list) } : init,
    ];
  }

  /** The WebSocket is open, and takes commands. */
  _commands(send) {
    this._send = send;
    this._group._sockets = true;
    this._budget = BURST;
    this._paid = now();
    this._flush();
  }

  /** Asks for a subscription, or leaves the channel of a name. */
  _command(what) {
    this._queue.push(what);
    if (this._send) this._flush();
  }

  /** Sends commands in their order, as fast as the server takes them. */
  _flush() {
    clearTimeout(this._pacing);
    while (this._queue.length) {
      this._budget = Math.min(BURST, this._budget + (now() - this._paid) / PACE);
      this._paid = now();
      if (this._budget < 1) {
        this._pacing = setTimeout(() => this._flush(), PACE);
        return;
      }
      const what = this._queue.shift();
      const { cname } = what;
      if (cname && this._subs.get(cname) !== what) continue; // it has left before it was asked for
      this._budget--;
      if (cname) what.asked = true;
      this._send(cname ? { type: 'subscribe', cname, ...what.from(what.placed) } : { type: 'unsubscribe', cname: what });
    }
  }

  /** Gives a message to whom it belongs. `current`: it is not of a connection that is being replaced. */
  _take(msg, current) {
    const { type, cname } = msg;
    this._heard = now();
    if (type !== 'position') this._got++;
    // A heartbeat is for all, and so is what an EventSource is told by a status.
    const ends = type === 'end' && cname === undefined;
    if (type === 'noop' || ends) {
      if (current && this._name !== 'ws' && this._lacks()) return this._solo();
      for (const sub of this._all()) if (!ends || (current && sub.asked)) sub.messages([msg]);
      return;
    }
    const left = this._leaving.get(cname);
    if (left) { // until the answer, what comes is of an earlier subscription
      if (type === 'unsubscribed' || type === '400') this._leaving.set(cname, left - 1);
      return;
    }
    const sub = this._subs.get(cname);
    // A channel that was removed and added again is not the one of the old connection.
    if (!sub || !(current || sub.placed || !sub.due)) return;
    if (type === '400') {
      // Perhaps the server allows fewer channels.
      if (this._subs.size > 1) this._group._max = this._subs.size - 1;
      this._subs.delete(cname);
      return sub.end(new Error(msg.content), { own: true });
    }
    if (type === 'position') {
      // Only the connection was changed, and nothing was missed.
      if (sub.placed && msg.recovered) return;
      sub.placed = true;
    } else if (['close', 'end', '401', '429'].includes(type)) {
      this._moved = sub.over = true;
    } else if (sub.due && !sub.placed && this._subs.size > 1) {
      return this._solo();
    }
    sub.messages([msg]);
  }

  /** Whether one of several channels has not got the position that it was to begin with. */
  _lacks() {
    return this._subs.size > 1 && this._all().some(s => s.due && s.asked && !s.placed);
  }

  /** The server does not know several channels on one connection: each gets its own. */
  _solo() {
    this._group._max = 1;
    this._moved = true;
    this._end();
  }

  /** The connection has ended, or is given up. Who comes back at once, as after a poll, goes on with it. */
  _end(error, more = {}) {
    // Who was added after the request is not concerned.
    const subs = this._all().filter(sub => sub.asked || this._name === 'ws');
    const worked = this._got > 0 || (this._head && now() - this._since > SETTLED);
    if (error && subs.length > 1 && /^HTTP 4(00|1[34])$/.test(error.message)) {
      // Too many for the server, or one of them is wrong.
      this._group._max = Math.ceil(subs.length / 2);
      error = null;
      this._moved = true;
    }
    this._shut();
    for (const sub of subs) this._subs.delete(sub.cname);
    this._ending = true;
    const advanced = this._moved || subs.some(sub => sub.advanced());
    // All of them wait as long, and come back on one connection.
    more = { worked, jitter: Math.random(), advanced, ...more };
    for (const sub of subs) sub.end(error, more);
    this._ending = false;
    if (this._subs.size) this._open();
    else this._group._links.delete(this);
  }
}
