import { answers, getJSON, jsonp, now, query } from './request.js';
import { Position } from './position.js';
import { available, isBlind, isPoll, openers } from './transports.js';

const TRANSPORTS = ['sse', 'stream', 'poll', 'jsonp'];
const TRIES = 2; // failures in a row after which another transport is considered
const TRIES_UNREACHED = 6; // the same, if the server does not answer at all
const TOO_MANY_WAIT = 5000; // ms, the least wait after a 429
const OPEN_LIMIT = 6000; // ms until a stream must have its head, and its first message if one is due at once
const SETTLED = 5000; // ms after which a connection counts as good
const UPGRADE_AFTER = 600000; // ms after which a better transport is tried again
const LATE = 1500; // ms that a heartbeat may be late: the server keeps its period within a second
const ANSWER_LIMIT = 10000; // ms of silence for /ping and signUrl
const PATIENCE = 3; // how often the allowed silence is doubled where only whole messages can be seen

/**
 * The connection of one channel. It opens the connection, watches it, and opens it again
 * with the same or another transport. iComet adds what has to do with the page and with
 * other tabs.
 */
export class Connection extends Position {
  constructor(config) {
    super(config);
    const c = (this._config = { retryMin: 1000, retryMax: 30000, ...config });
    // The original client also accepts option names with underscores.
    const subUrl = c.subUrl || c.sub_url;
    if (!c.channel || typeof subUrl !== 'string') throw new TypeError('iComet: channel and subUrl are needed');
    this._signUrl = c.signUrl || c.sign_url;
    const [path, extra] = subUrl.split('?');
    this._base = path.replace(/\/(poll|sub|stream|sse|iframe)$/, '').replace(/\/$/, '');
    this._extra = extra ? '?' + extra : '';
    this._init = { credentials: c.credentials || 'same-origin' };
    this._transports = (c.transports || TRANSPORTS).filter(t => available[t] && available[t]());
    this._at = 0; // index of the transport in use
    this._token = typeof c.token === 'string' ? c.token : '';
    this._watch = 1.3 * (c.subTimeout || c.sub_timeout || 60000); // ms
    this._tries = 0;
    this._silences = 0; // how often in a row a blind transport has been given up as silent
    this._run = 0; // number of the connection: events of an earlier one are ignored
    this.cname = c.channel;
    this.state = 'stopped';
  }

  _setState(state, more) {
    if (state !== this.state || more) {
      this.state = state;
      this._emit('state', { state, transport: this.transport, follower: !!this._follows, ...more });
    }
    this._tellState();
  }

  _drop() {
    this._run++;
    clearTimeout(this._retry);
    if (this._close) this._close();
    this._close = null;
  }

  /** `known`: a poll sends its epoch also where it would ask for the server's. */
  async _connect(known) {
    if (!this._running || this._follows) return;
    this._drop();
    const run = this._run;
    const again = this.state === 'open'; // the next request of a poll
    if (!again) this._setState('connecting');
    try {
      if (!this._token) await this._sign(run);
    } catch (error) {
      if (run === this._run) this._failed({ code: 0, error });
      return;
    }
    if (run !== this._run) return;
    if (!this._usable()) this._nextTransport();
    const name = this._transports[this._at];
    if (!this._usable()) return this._setState('failed', { error: new Error('no transport works here') });
    this._since = this._heard = now();
    this._got = 0;
    this._headSeen = this._advanced = false;
    // A stream begins with the position. A poll is told it at once only if it sends no
    // epoch, so it does that after a break, and compares by itself.
    this._asks = isPoll(name) && !again && !known;
    this._placed = isPoll(name) && !this._asks;
    const mine = f => arg => run === this._run && f(arg);
    const on = {
      open: mine(() => {
        this._headSeen = true;
        this._heard = now();
        this._opened();
      }),
      alive: mine(() => {
        this._heard = now();
      }),
      messages: mine(list => {
        // A position says no more than the head of the answer: it comes at once, also where
        // nothing else gets through.
        const news = list.filter(msg => msg.type !== 'position').length;
        this._got += news;
        this._heard = now();
        for (const msg of list) {
          this._take(msg);
          if (run !== this._run) return;
        }
        this._denied = 0;
        if (news) this._tries = this._silences = 0;
        this._opened();
      }),
      end: mine(error => this._ended(error)),
    };
    if (!this._timed || (isPoll(name) && !again)) {
      // A poll without seq is open only when its first answer has told the next number.
      this._ping().then(mine(() => isPoll(name) && this._next && this._opened()), () => {});
    }
    try {
      this._close = openers[name](p => this._url(p, this._asks ? '' : undefined), on, this._init);
    } catch (error) {
      on.end(error);
    }
  }

  _url(path, epoch = this._epoch) {
    return query(this._base + path + this._extra, { cname: this.cname, seq: this._next, token: this._token }) + '&epoch=' + epoch;
  }

  _opened() {
    if (this.state !== 'open') this._setState('open');
  }

  /** The connection has ended by itself: a poll was answered, or it broke. */
  _ended(error) {
    const lived = now() - this._since;
    // Polls that end at once without anything new must not become a busy loop.
    if (!error && (this._advanced || lived > 900)) {
      if (this._at && now() - this._switched > UPGRADE_AFTER) {
        this._switched = now();
        this._at = 0;
      }
      return this._connect();
    }
    const worked = this._got > 0 || (this._headSeen && lived > SETTLED);
    this._failed({ code: 0, error: error || new Error('an answer with nothing new') }, { worked });
  }

  /** Asks for the heartbeat period, which also shows whether the server answers. */
  async _ping() {
    const v = await this._get(this._base + '/ping' + this._extra, ANSWER_LIMIT);
    this._setTimeout(v.sub_timeout);
  }

  /** Asks the server for one answer. By a script tag only where the messages come so too. */
  _get(url, limit) {
    if (this.transport !== 'jsonp') return getJSON(url, this._init, limit);
    return new Promise((resolve, reject) => jsonp(url, (err, v) => (err ? reject(err) : resolve(v)), limit));
  }

  /** Whether the server answers at all, also if this page may not read what. */
  _reached() {
    return this._ping().then(() => true, e =>
      e instanceof TypeError && this.transport !== 'jsonp' && answers(this._base + '/ping' + this._extra, this._init, ANSWER_LIMIT));
  }

  _setTimeout(seconds) {
    if (!(seconds > 0)) return;
    this._timed = true;
    this._watch = Math.max(1300 * seconds, 1000 * seconds + LATE);
  }

  /** Gets a token from the application, if there is a signUrl or a token function. */
  async _sign(run) {
    const { token, channel } = this._config;
    let v;
    if (this._signUrl) {
      v = await getJSON(query(this._signUrl, { cname: channel }), this._init, ANSWER_LIMIT, this._transports.includes('jsonp'));
    } else if (typeof token === 'function') {
      v = { token: await token({ channel, denied: this._denied || 0 }) };
    }
    if (!v || run !== this._run) return;
    if (!v.token) throw new Error('no token: ' + JSON.stringify(v));
    this._token = v.token;
    this.cname = v.cname || this.cname;
    this._setTimeout(v.sub_timeout);
  }

  /**
   * The connection has failed, or could not be made: waits and connects again. `worked`:
   * it had been good. `suspect`: the transport may be at fault, also at the first failure.
   * `least`: the shortest wait, in ms.
   */
  async _failed(error, { worked, suspect, least = 0 } = {}) {
    this._drop();
    const run = this._run;
    this._emit('error', error);
    if (!this._running || run !== this._run) return;
    if (worked) this._tries = 0;
    const tries = ++this._tries;
    const { retryMin, retryMax } = this._config;
    const bound = Math.max(least, Math.min(retryMax, retryMin * 2 ** Math.min(tries - 1, 20)));
    const wait = Math.max(least, bound / 2) + (Math.random() * bound) / 2;
    this._retry = setTimeout(() => this._connect(), wait);
    this._setState('waiting', { retryIn: Math.round(wait) });
    if (error.code || (tries % TRIES && !suspect)) return;
    // If the server answers /ping, the transport is at fault.
    const reached = await this._reached();
    if (run !== this._run || (!reached && tries % TRIES_UNREACHED)) return;
    // It may also have been a large message on a slow link.
    if (reached && suspect && this._silences < PATIENCE) this._silences++;
    this._nextTransport();
  }

  /** Whether there is a transport, and the page has not come to forbid it. */
  _usable() {
    const name = this._transports[this._at];
    return name && available[name]();
  }

  _nextTransport() {
    for (let i = this._transports.length; i > 0; i--) {
      this._at = (this._at + 1) % this._transports.length;
      if (this._usable()) break;
    }
    this._switched = now();
  }

  /** Handles one message of the server. It may end the connection. */
  _take(msg) {
    const { type, seq } = msg;
    switch (type) {
      case 'position':
        if (this._asks && this._epoch && msg.epoch !== this._epoch) return this._connect(true);
        this._placed = true;
        return this._share(msg);
      case 'data':
      case 'broadcast':
      case 'next_seq':
        if (!this._placed && this._epoch && seq >= this._next) {
          // A server that tells no position has come instead of one that does.
          this._share({ type: 'position', epoch: '', seq: this._next });
        }
        return type === 'next_seq' ? this._nextIs(seq) : this._share(msg);
      case 'end':
        msg.seq = this._next;
        return this._share(msg);
      case 'close':
        return this._over(type);
      case '401':
        return this._refused();
      case '429':
        this._failed({ code: 429, error: new Error(msg.content) }, { least: TOO_MANY_WAIT });
    }
  }

  /** The channel is closed, or has ended: nothing more will come. */
  _over(type) {
    this._emit(type, {});
    if (type === 'close') this._post({ closed: 1 });
    this._end(type === 'close' ? 'closed' : 'ended');
  }

  _refused() {
    const renewable = this._signUrl || typeof this._config.token === 'function';
    this._denied = (this._denied || 0) + 1;
    this._token = '';
    const error = { code: 401, error: new Error('the token is not valid') };
    if (renewable && this._denied > 1) return this._failed(error);
    this._drop();
    this._setState(renewable ? 'connecting' : 'unauthorized');
    this._emit('error', error);
    if (renewable) this._connect();
  }

  /** Detects a connection that is dead, or was never established. */
  _check() {
    const silent = now() - this._heard;
    // A stream gets its head at once, and next_seq at once if it asked from now.
    const due = !isPoll(this.transport) && !(this._headSeen && this._next);
    const limit = due ? Math.min(OPEN_LIMIT, this._watch) : this._watch;
    if (this._close && silent > (isBlind(this.transport) ? limit * 2 ** this._silences : limit)) {
      this._failed({ code: 0, error: new Error('silent for ' + silent + ' ms') }, { suspect: !this._got });
    }
  }
}
