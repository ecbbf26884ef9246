/** The client of one channel, with what it has to do with the page. */

import { fetchJSON, foreign, inPage, jsonp, now, query } from './request.js';
import { Sharing } from './sharing.js';

export class Channel extends Sharing {
  constructor(config) {
    super(config);
    const c = this._config;
    this._pubUrl = c.pubUrl || c.pub_url;
    this._events = {
      online: () => this._kick(),
      offline: () => this._offline(),
      visibilitychange: () => document.hidden || this._kick(),
      // With an open WebSocket the browser does not keep the page.
      pagehide: () => this._link && this.transport === 'ws' && this._pause(),
      pageshow: e => e.persisted && this._kick(),
    };
  }

  /** The transport in use. */
  get transport() {
    return this._follows ? this._leaderTransport : this._transports[this._group._at];
  }

  /** Connects, and continues where stop() has stopped. Does nothing while it runs. */
  start() {
    if (this._running) return;
    this._running = true;
    this._heard = now();
    this._tries = 0;
    this._timer = setInterval(() => this._tick(), 1000);
    this._listen('addEventListener');
    this._join();
  }

  /** Ends the connection. After it, only a state event comes. */
  stop() {
    this._end('stopped');
  }

  /** Sets the token, usually after a 401; it may be called at any time. */
  setToken(token) {
    const other = token !== this._proof;
    this._token = this._proof = token;
    if (!this._running) return;
    if (this._bus && other) { // who has another token shares with others
      this._part();
      this._drop();
      this._follows = false;
      this._join();
    } else if (this.state === 'unauthorized') {
      this._connect();
    }
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
    const byScript = foreign(this._pubUrl) && this._transports.includes('jsonp');
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
    this._part();
    this._queue = null;
    this._follows = false;
  }

  _tick() {
    if (!this._follows) this._check();
    this._beatOrWatch();
  }

  /** The page is visible again, or the network is back: connects without waiting. */
  _kick() {
    if (this._follows) return this._send({ kick: 1 });
    if (this.state === 'waiting' || this.state === 'offline') {
      this._tries = 0;
      this._connect();
    } else {
      this._tick();
    }
  }

  _pause() {
    this._drop();
    this._setState('waiting');
  }

  _offline() {
    if (this._follows || this.state === 'unauthorized') return;
    this._drop();
    this._setState('offline');
    // The browser may be wrong about the network.
    this._retry = setTimeout(() => this._connect(), this._config.retryMax);
  }
}
