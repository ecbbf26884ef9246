import { Connection } from './connection.js';
import { absolute, attempt, inPage, now } from './request.js';

const BEAT = 5000; // ms between two state messages of a leader
const LEADER_SILENT = 3 * BEAT; // ms after which a visible tab takes the lock from a silent leader
const DOUBT = 2000; // ms without a leader's word after which a tab connects by itself
const THEFTS = 3; // of the lock in a row, after which it is not asked for again

const isOver = state => ['stopped', 'closed', 'ended'].includes(state);

/**
 * The connection of one channel, shared by the instances of an origin that would get the
 * same answers. The leader holds a Web Lock, has the connection, and passes the messages to
 * the others (followers) by a BroadcastChannel.
 *
 * Sharing only saves connections. Whatever of it fails, in whatever way: the instance has a
 * connection of its own. It has one while it follows nobody (`_follows` is false), with the
 * lock (`_release`) or, in doubt, without.
 */
export class Sharing extends Connection {
  constructor(config) {
    super(config);
    this._proof = this._token; // the application's last own token
    this._queue = null; // messages held until a follower has caught up; [] before it knows the leader's position
    this._fetching = null; // the queue that _catchUp fetches for
  }

  /** Connects, shared if that is possible. */
  async _join() {
    const { share = true, token } = this._config;
    const asks = typeof token === 'function' && !this._signUrl;
    if (!share || !attempt(() => BroadcastChannel && navigator.locks.request)) return this._connect();
    if (asks && share === true && !this._proof) {
      // Two functions cannot be compared, only the tokens that they return.
      const run = this._run;
      this._setState('connecting');
      try {
        await this._sign(run);
      } catch (error) {
        if (run === this._run && this._running) this._failed({ code: 0, error });
        return;
      }
      if (run !== this._run || !this._running) return;
      this._proof = this._token;
    }
    const proof = asks && share !== true ? String(token) : this._proof;
    // All that makes answers differ.
    const key = [absolute(this._base + this._extra), this._config.channel, share,
      this._signUrl ? absolute(this._signUrl) : '', proof, this._init.credentials];
    this._key = 'icomet 2 ' + JSON.stringify(key); // 2: what the tabs say to each other
    this._thefts = 0;
    this._stolen = false;
    try {
      this._bus = new BroadcastChannel(this._key);
    } catch (e) {
      return this._connect();
    }
    this._bus.onmessage = e => {
      this._fromBus(e.data);
    };
    this._follow();
  }

  /** Ends the sharing, not the connection. */
  _part() {
    this._leave();
    clearTimeout(this._doubt);
    const bus = this._bus;
    this._bus = null;
    if (bus) attempt(() => bus.close());
  }

  /** Sharing does not work here: goes on alone. */
  _alone() {
    this._part();
    if (this._follows) this._connectByItself();
  }

  /** Connects beside a leader that does not answer, or instead of it. */
  _connectByItself() {
    this._follows = false;
    this._queue = null;
    this.state = ''; // it was the state of another connection
    this._connect();
  }

  _send(data) {
    try {
      if (this._bus) this._bus.postMessage(data);
    } catch (e) {
      this._alone();
    }
  }

  /** Sends to the followers. */
  _post(data) {
    if (this._release) this._send(data);
  }

  _tellState() {
    if (!this._release) return;
    this._beat = now();
    this._post({
      state: this.state, transport: this.transport, next: this._next, epoch: this._epoch,
      token: this._token, cname: this.cname,
    });
  }

  /** What sharing needs once a second. */
  _beatOrWatch() {
    if (!this._bus) return;
    if (this._release) {
      if (now() - this._beat >= BEAT) this._tellState();
      return;
    }
    // A leader in a frozen page keeps its lock and does nothing. A thief is not robbed: it
    // lives, although it cannot be heard.
    if (now() - this._leaderHeard < LEADER_SILENT || this._stolen || (inPage && document.hidden)) return;
    this._leaderHeard = now();
    this._request(true);
    this._mayDoubt();
  }

  _mayDoubt() {
    clearTimeout(this._doubt);
    if (this._follows) this._doubt = setTimeout(() => this._follows && this._connectByItself(), DOUBT);
  }

  _leave() {
    const { _abort: abort, _release: release } = this;
    this._abort = this._release = null;
    if (abort) abort.abort();
    if (release) release();
  }

  /** Follows, until it has the lock. */
  _follow() {
    this._drop();
    this._follows = true;
    this._queue = [];
    this._leaderHeard = now();
    if (isOver(this.state)) this._setState('connecting');
    this._request();
    if (!this._follows || !this._bus) return;
    this._mayDoubt();
    this._send({ hello: 1 });
  }

  /** Asks for the lock, or (steal) takes it from a leader that is silent. */
  _request(steal) {
    this._leave();
    const abort = (this._abort = new AbortController());
    let held = false;
    const lost = error => {
      if (abort !== this._abort) return;
      this._release = null;
      if (!held || !error || error.name !== 'AbortError' || ++this._thefts > THEFTS) return this._alone();
      this._stolen = true;
      this._follow();
    };
    try {
      navigator.locks
        .request(this._key, steal ? { steal } : { signal: abort.signal }, () => {
          if (abort !== this._abort) return;
          held = true;
          return new Promise(release => {
            this._release = release;
            this._lead();
          });
        })
        .then(lost, lost);
    } catch (e) {
      lost(e);
    }
  }

  _lead() {
    this._stolen = false;
    clearTimeout(this._doubt);
    if (this._follows) this._connectByItself();
    else this._tellState();
  }

  _fromBus(d) {
    // Also if this tab has the lock by now: the leader released it before this arrived.
    if (d.closed) return this._over('close');
    const { msg } = d;
    if (msg && msg.type === 'end' && !this._queue && d.epoch === this._epoch && msg.seq <= this._next) return this._over('end');
    if (this._release) {
      if (d.hello) this._tellState();
      else if (d.kick) this._kick();
      return;
    }
    if (d.hello || d.kick) return;
    this._leaderHeard = now();
    this._stolen = false;
    this._thefts = 0;
    clearTimeout(this._doubt);
    if (!this._follows) {
      if (!d.state) return;
      // The leader that was in doubt is there.
      this._drop();
      this._follows = true;
      this._queue = [];
    }
    if (d.reset) {
      this._queue = null;
      this._reset();
    } else if (msg) {
      this._followed(d);
    } else if (d.state) {
      if (d.token) this._token = d.token;
      this.cname = d.cname;
      this._leaderTransport = d.transport;
      if (this._queue || this._next < d.next || this._epoch !== d.epoch) this._catchUp(d);
      if (!isOver(d.state)) this._setState(d.state);
    }
  }

  /** Handles a message of the leader, which had the position `epoch` and `next` before it. */
  _followed(d) {
    const { msg, epoch, next } = d;
    const moves = msg.type === 'position';
    if (this._queue) {
      this._queue.push(d);
    } else if (epoch === this._epoch && (moves ? next === this._next || (epoch && next < this._next) : msg.seq <= this._next)) {
      this._apply(msg);
    } else if (!moves || msg.epoch !== this._epoch || msg.seq > this._next) {
      this._queue = [d];
      this._catchUp();
    }
  }

  /**
   * Brings a follower to the leader's position: it fetches what it has missed, however long
   * that takes. If it fails, the leader's next state message makes it try again.
   */
  async _catchUp(leader) {
    const queue = (this._queue = this._queue || []);
    if (this._fetching === queue) return;
    const known = this._epoch;
    const [first] = queue;
    const { epoch, next } = first ? { epoch: first.msg.epoch || first.epoch, next: first.msg.seq } : leader;
    let got = [];
    if (!this._next) {
      this._setNext(next, epoch);
    } else if (known !== epoch || this._next < next) {
      this._fetching = queue;
      // Where the server tells no position and nothing is stored, it is answered with the
      // next message, or after a heartbeat.
      got = [].concat(await this._get(this._url('/sub'), this._watch).catch(() => []));
      if (this._fetching === queue) this._fetching = null;
      if (queue !== this._queue) return; // meanwhile it leads, was reset or has stopped
      if (!got.length || got[0].type === '401' || got[0].type === '429') return;
    }
    this._queue = null;
    // No position is told to who misses nothing.
    if (known && known === epoch && !got.some(msg => msg.type === 'position')) this._isRecovered();
    for (const msg of got) {
      if (this._follows) this._apply(msg);
    }
    for (const d of queue) {
      // What belongs to another life is older than what was fetched.
      if (this._follows && (this._queue || [d.epoch, d.msg.epoch].includes(this._epoch))) this._followed(d);
    }
  }
}
