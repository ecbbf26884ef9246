/**
 * icomet.js, the browser client of the iComet push server.
 *
 *     const comet = new iComet({
 *       channel: 'news',
 *       subUrl: 'https://push.example.com',       // the front port, or its /poll
 *       callback: content => console.log(content), // once per message, in order
 *     });
 *     comet.on('state', e => console.log(e.state, e.transport));
 *
 * It starts by itself, as the original client does. icomet.d.ts describes the options, the
 * events and their units.
 *
 * How it works. `next` is the number of the next message wanted. Every connection asks from
 * there, so nothing is lost or doubled when a connection breaks or the transport changes.
 * One instance per channel and origin (the leader, which holds a Web Lock) has the
 * connection, and passes the messages to the others (followers) by a BroadcastChannel.
 */

import { Connection, guard } from './connection.js';
import { fetchJSON, getJSON, inPage, jsonp, query } from './request.js';

const BEAT = 5000; // ms between two state messages of a leader
const LEADER_SILENT = 3 * BEAT; // ms after which a visible follower takes over
const CATCH_UP_LIMIT = 5000; // ms

export class iComet extends Connection {
  constructor(config) {
    super(config);
    const c = this._config;
    this._pubUrl = c.pubUrl || c.pub_url;
    this._queue = null; // messages held until a follower has caught up; [] before it knows the leader's position
    this._events = {
      online: () => this._kick(),
      offline: () => this._offline(),
      visibilitychange: () => document.hidden || this._kick(),
      pageshow: e => e.persisted && this._kick(),
    };
    if (c.autoStart !== false) this.start();
  }

  /** The transport in use. */
  get transport() {
    return this._follows ? this._leaderTransport : this._transports[this._at];
  }

  /** Connects, and continues where stop() has stopped. Does nothing while it runs. */
  start() {
    if (this._running) return;
    this._running = true;
    this._heard = Date.now();
    this._tries = 0;
    this._timer = setInterval(() => this._tick(), 1000);
    this._listen('addEventListener');
    const { share = true } = this._config;
    if (share && typeof BroadcastChannel === 'function' && globalThis.navigator && navigator.locks) {
      this._key = 'icomet ' + (share === true ? this._base : share) + ' ' + this._config.channel;
      this._bus = new BroadcastChannel(this._key);
      this._bus.onmessage = e => this._fromBus(e.data);
      this._follow();
    } else {
      this._connect();
    }
  }

  /** Ends the connection. After it, only a state event comes. */
  stop() {
    this._end('stopped');
  }

  /** Sets the token, usually after a 401; it may be called at any time. */
  setToken(token) {
    this._token = token;
    this._post({ token });
    if (this.state === 'unauthorized') this._reconnect();
  }

  /**
   * Publishes a text through pubUrl, which belongs to the application. Returns a promise
   * of its JSON answer, or, as the original does, false if content is not a text or there
   * is no pubUrl.
   */
  pub(content, callback) {
    if (typeof content !== 'string' || !this._pubUrl) return false;
    const params = { cname: this.cname, content };
    const post = (this._config.pubMethod || 'GET') === 'POST';
    // Another origin is asked by JSONP, as the original does. Trying fetch first could
    // publish twice.
    const byScript = inPage && new URL(this._pubUrl, location.href).origin !== location.origin;
    const sent = new Promise((resolve, reject) => {
      const done = (err, v) => (err ? reject(err) : resolve(v));
      if (post) {
        fetchJSON(this._pubUrl, { method: 'POST', body: new URLSearchParams(params), ...this._init }, done);
      } else if (byScript || this._pubUrl.includes('=?')) {
        jsonp(query(this._pubUrl, params), done);
      } else {
        fetchJSON(query(this._pubUrl, params), this._init, done);
      }
    });
    sent.then(callback, error => this._emit('error', { code: 0, error }));
    return sent;
  }

  _listen(how) {
    if (typeof addEventListener !== 'function') return;
    for (const name in this._events) {
      const target = name === 'visibilitychange' ? inPage && document : globalThis;
      if (target) target[how](name, this._events[name]);
    }
  }

  _end(state) {
    if (!this._running) return;
    this._running = false;
    this._drop();
    clearInterval(this._timer);
    this._listen('removeEventListener');
    this._setState(state);
    this._leave();
    if (this._bus) this._bus.close();
    this._bus = this._queue = null;
    this._follows = false;
  }

  _reconnect() {
    if (!this._running) return;
    if (this._follows) this._post({ kick: 1 });
    else this._connect();
  }

  _tick() {
    if (this._follows) {
      // A leader in a frozen page keeps its lock and does nothing.
      if (Date.now() - this._heard > LEADER_SILENT && !(inPage && document.hidden)) this._follow(true);
      return;
    }
    if (this._bus && Date.now() - this._beat >= BEAT) this._tellState();
    this._check();
  }

  /** The page is visible again, or the network is back: connects without waiting. */
  _kick() {
    if (this._follows) return this._post({ kick: 1 });
    if (this.state === 'waiting' || this.state === 'offline') {
      this._tries = 0;
      this._connect();
    } else {
      this._tick();
    }
  }

  _offline() {
    if (this._follows || this.state === 'unauthorized') return;
    this._drop();
    this._setState('offline');
    // The browser may be wrong about the network.
    this._retry = setTimeout(() => this._connect(), this._config.retryMax);
  }

  // ---- sharing ----

  _post(data) {
    if (this._bus) this._bus.postMessage(data);
  }

  _tellState() {
    if (!this._bus || this._follows || !this._release) return;
    this._beat = Date.now();
    this._post({
      state: this.state, transport: this.transport, next: this._next,
      token: this._token, cname: this.cname,
    });
  }

  _leave() {
    if (this._abort) this._abort.abort();
    if (this._release) this._release();
    this._abort = this._release = null;
  }

  /** Waits for the lock, or (steal) takes it from a leader that is silent. */
  _follow(steal) {
    this._leave();
    this._drop();
    this._follows = true;
    this._queue = [];
    this._heard = Date.now();
    if (this.state === 'stopped' || this.state === 'closed') this._setState('connecting');
    const abort = (this._abort = new AbortController());
    const held = () => {
      if (abort !== this._abort) return;
      this._follows = false;
      this._queue = null;
      return new Promise(release => {
        this._release = release;
        this.state = ''; // it was the state of the former leader's connection
        this._connect();
      });
    };
    navigator.locks
      .request(this._key, steal ? { steal } : { signal: abort.signal }, held)
      .catch(() => abort === this._abort && this._running && this._follow());
    if (!this._release) this._post({ hello: 1 });
  }

  _fromBus(d) {
    if (d.closed) {
      // Also if this tab has the lock by now: the leader released it before this arrived.
      this._emit('close', {});
      return this._end('closed');
    }
    if (d.token !== undefined) this._token = d.token;
    if (!this._follows) {
      if (d.hello) this._tellState();
      else if (d.kick) this._kick();
      else if (d.token !== undefined && !d.state && this.state === 'unauthorized') this._connect();
      return;
    }
    if (d.hello || d.kick) return;
    this._heard = Date.now();
    if (d.reset) {
      this._queue = null;
      this._reset();
    } else if (d.msg) {
      this._followed(d.msg);
    } else if (d.state) {
      this.cname = d.cname;
      this._leaderTransport = d.transport;
      if (this._queue || this._next < d.next) this._catchUp(d.next);
      if (d.state !== 'stopped' && d.state !== 'closed') this._setState(d.state);
    }
  }

  _followed(msg) {
    if (this._queue) {
      this._queue.push(msg);
    } else if (msg.seq > this._next) {
      this._queue = [msg];
      this._catchUp(msg.seq);
    } else {
      this._accept(msg);
    }
  }

  /** Brings a follower to the leader's position: it fetches what it has missed. */
  async _catchUp(next) {
    if (this._fetching) return;
    const queue = (this._queue = this._queue || []);
    const from = queue.length ? queue[0].seq : next;
    let got = [];
    if (!this._next) {
      this._next = from;
    } else if (this._next < from) {
      this._fetching = true;
      got = await getJSON(this._url('/sub'), this._init, CATCH_UP_LIMIT).catch(() => []);
      this._fetching = false;
      if (queue !== this._queue) return; // meanwhile it leads, was reset or has stopped
    }
    this._queue = null;
    for (const msg of [].concat(got, queue)) {
      if (msg.type === 'data' || msg.type === 'broadcast') this._accept(msg);
    }
  }
}

export default iComet;
