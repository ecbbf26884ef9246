import { absolute, answers, getJSON, jsonp, now, query } from './request.js';
import { groupOf, parameters, subscribe } from './link.js';
import { Position } from './position.js';
import { available, isBlind, isPoll } from './transports.js';

const TRANSPORTS = ['ws', 'sse', 'stream', 'poll', 'jsonp'];
const TRIES = 2; // failures in a row after which another transport is considered
const TRIES_UNREACHED = 6; // the same, if the server does not answer at all
const TOO_MANY_WAIT = 5000; // ms, the least wait after a 429
const OPEN_LIMIT = 6000; // ms until a stream must have its head, and its first message if one is due at once
const UPGRADE_AFTER = 600000; // ms after which a better transport is tried again
const LATE = 1500; // ms that a heartbeat may be late: the server keeps its period within a second
const ANSWER_LIMIT = 10000; // ms of silence for /ping and signUrl
const PATIENCE = 3; // how often the allowed silence is doubled where only whole messages can be seen

/**
 * The subscription of one channel. It has it put on a connection, watches that, and does it
 * again with the same or another transport. Channel adds what has to do with the page and
 * with other tabs.
 */
export class Connection extends Position {
  constructor(config) {
    super(config);
    const c = (this._config = { retryMin: 1000, retryMax: 30000, ...config });
    // The original client also accepts option names with underscores.
    const subUrl = c.subUrl || c.sub_url;
    if (!c.channel || typeof subUrl !== 'string') throw new TypeError('iComet: channel and subUrl are needed');
    this.cname = '' + c.channel;
    if (encodeURIComponent(this.cname).replace(/%../g, '-').length > 255) throw new TypeError('iComet: the name is too long: ' + this.cname);
    this._signUrl = c.signUrl || c.sign_url;
    const [path, extra] = subUrl.split('?');
    this._base = path.replace(/\/(poll|sub|stream|sse|iframe|ws)$/, '').replace(/\/$/, '');
    this._extra = extra ? '?' + extra : '';
    this._init = { credentials: c.credentials || 'same-origin' };
    const list = c.transports || TRANSPORTS;
    // A WebSocket always sends the cookies.
    this._transports = list.filter(t => available[t] && available[t]() && !(t === 'ws' && c.credentials === 'omit'));
    this._group = groupOf(
      JSON.stringify([absolute(this._base), this._extra, this._init, this._transports]),
      // What stands before the first channel belongs to it.
      c.multiplex === false || /[?&](cname|seq|epoch|last|token)=/.test(this._extra),
    );
    this._token = typeof c.token === 'string' ? c.token : '';
    this._watch = 1.3 * (c.subTimeout || c.sub_timeout || 60000); // ms
    this._tries = 0;
    this._silences = 0; // how often in a row a blind transport has been given up as silent
    this._run = 0; // number of the connection: events of an earlier one are ignored
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
    this._group._waiting.delete(this);
    if (this._unsubscribe) this._unsubscribe();
    this._link = this._unsubscribe = null;
  }

  /** `known`: a poll sends its epoch also where it would ask for the server's. */
  async _connect(known) {
    if (!this._running || this._follows) return;
    this._drop();
    const run = this._run;
    const again = this.state === 'open' && isPoll(this.transport); // the next request of a poll
    if (!again) this._setState('connecting');
    // Those that share a connection come back together.
    if (!again) for (const other of this._group._waiting) other._connect();
    try {
      if (!this._token && this._renewable()) await this._sign(run);
    } catch (error) {
      if (run === this._run) this._failed({ code: 0, error });
      return;
    }
    if (run !== this._run) return;
    if (!this._usable()) this._nextTransport(this.transport);
    const name = this.transport;
    if (!this._usable()) return this._setState('failed', { error: new Error('no transport works here') });
    this._since = this._heard = now();
    this._headSeen = this._advanced = false;
    // A stream begins with the position. A poll is told it at once only if it sends no
    // epoch, so it does that after a break, and compares by itself.
    this._asks = isPoll(name) && !again && !known;
    this._placed = isPoll(name) && !this._asks;
    const mine = f => arg => run === this._run && f(arg);
    const sub = {
      cname: this.cname,
      due: !this._placed,
      from: placed => this._from(!placed && this._asks ? '' : undefined),
      advanced: () => this._advanced,
      open: mine(() => {
        this._headSeen = true;
        this._heard = now();
        this._opened();
      }),
      messages: mine(list => {
        // A position says no more than the head of the answer: it comes at once, also where
        // nothing else gets through.
        const news = list.filter(msg => msg.type !== 'position').length;
        this._headSeen = true;
        this._heard = now();
        for (const msg of list) {
          this._take(msg);
          if (run !== this._run) return;
        }
        this._denied = 0;
        if (news) this._tries = this._silences = 0;
        this._opened();
      }),
      end: (error, more) => run === this._run && this._ended(error, more),
    };
    if (!this._timed || (isPoll(name) && !again)) {
      // A poll without seq is open only when its first answer has told the next number.
      this._ping().then(mine(() => isPoll(name) && this._next && this._opened()), () => {});
    }
    const link = (this._link = subscribe(this._group, name, this, sub));
    this._unsubscribe = () => link._leave(sub);
  }

  _url(path) {
    return this._base + path + this._extra + (this._extra ? '&' : '?') + parameters(this.cname, this._from());
  }

  _from(epoch = this._epoch) {
    return { seq: this._next, token: this._token, epoch };
  }

  _opened() {
    if (this.state !== 'open') this._setState('open');
  }

  /**
   * The connection has ended by itself: a poll was answered, or it broke. `advanced`: it had
   * news for another channel. `refused`: it never opened, and its transport may be at fault.
   */
  async _ended(error, { advanced, refused, ...more }) {
    const lived = now() - this._since;
    const group = this._group;
    // Polls that end at once without anything new must not become a busy loop.
    if (!error && (this._advanced || advanced || lived > 900)) {
      if (group._at && now() - group._switched > UPGRADE_AFTER) {
        group._switched = now();
        group._at = 0;
      }
      return this._connect();
    }
    if (refused && !group._sockets) {
      const { _run: run, transport: name } = this;
      this._link = null;
      const reached = await this._reached();
      if (run !== this._run) return;
      if (reached) this._nextTransport(name);
      if (this.transport !== name) return this._connect();
    }
    this._failed({ code: 0, error: error || new Error('an answer with nothing new') }, more);
  }

  /** Asks for the heartbeat period, which also shows whether the server answers. */
  async _ping() {
    const group = this._group;
    const done = () => {
      group._ping = null;
    };
    if (!group._ping) {
      group._ping = this._get(this._base + '/ping' + this._extra, ANSWER_LIMIT);
      group._ping.then(done, done);
    }
    this._setTimeout((await group._ping).sub_timeout);
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

  /** Whether the application can be asked for a token. */
  _renewable() {
    return this._signUrl || typeof this._config.token === 'function';
  }

  /** Gets a token from the application. */
  async _sign(run) {
    const { token, channel } = this._config;
    let v;
    if (this._signUrl) {
      v = await getJSON(query(this._signUrl, { cname: channel }), this._init, ANSWER_LIMIT, this._transports.includes('jsonp'));
    } else {
      v = { token: await token({ channel, denied: this._denied || 0 }) };
    }
    if (run !== this._run) return;
    if (!v.token) throw new Error('no token: ' + JSON.stringify(v));
    this._token = v.token;
    this.cname = v.cname || this.cname;
    this._setTimeout(v.sub_timeout);
  }

  /**
   * The connection has failed, or could not be made: waits and connects again. `worked`:
   * it had been good. `suspect`: the transport may be at fault, also at the first failure.
   * `least`: the shortest wait, in ms. `jitter`, from 0 to 1, is there if the others on the
   * connection have failed too. `own`: only this channel has, not the transport.
   */
  async _failed(error, { worked, suspect, least = 0, jitter, own } = {}) {
    const name = this.transport;
    this._drop();
    const run = this._run;
    this._emit('error', error);
    if (!this._running || run !== this._run) return;
    if (worked) this._tries = 0;
    const tries = ++this._tries;
    const { retryMin, retryMax } = this._config;
    const bound = Math.max(least, Math.min(retryMax, retryMin * 2 ** Math.min(tries - 1, 20)));
    const wait = Math.max(least, bound / 2) + ((jitter === undefined ? Math.random() : jitter) * bound) / 2;
    this._retry = setTimeout(() => this._connect(), wait);
    if (jitter !== undefined && !least) this._group._waiting.add(this);
    this._setState('waiting', { retryIn: Math.round(wait) });
    if (own || error.code || (tries % TRIES && !suspect)) return;
    // If the server answers /ping, the transport is at fault.
    const reached = await this._reached();
    if (run !== this._run || (!reached && tries % TRIES_UNREACHED)) return;
    // It may also have been a large message on a slow link.
    if (reached && suspect && this._silences < PATIENCE) this._silences++;
    this._nextTransport(name);
  }

  /** Whether there is a transport, and the page has not come to forbid it. */
  _usable() {
    const { transport: name } = this;
    return name && available[name]();
  }

  /** Chooses another transport than `name`, unless another instance has done so. */
  _nextTransport(name) {
    const group = this._group;
    const { length } = this._transports;
    if (name !== this.transport) return;
    for (let i = length; i > 0; i--) {
      group._at = (group._at + 1) % length;
      if (this._usable()) break;
    }
    group._switched = now();
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
    const renewable = this._renewable();
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
    const link = this._link;
    if (!link) return;
    // A stream gets its head at once, and its position or next_seq at once.
    const due = !isPoll(this.transport) && !(this._headSeen && this._next);
    // Before its head nothing that comes for other channels counts.
    const silent = now() - (due && !this._headSeen ? this._heard : Math.max(this._heard, link._heard));
    const limit = due ? Math.min(OPEN_LIMIT, this._watch) : this._watch;
    if (silent > (isBlind(this.transport) ? limit * 2 ** this._silences : limit)) {
      const error = new Error('silent for ' + silent + ' ms');
      if (now() - link._heard < limit) return this._failed({ code: 0, error }, { own: true }); // others are heard
      link._end(error, { worked: false, suspect: !link._got });
    }
  }
}
