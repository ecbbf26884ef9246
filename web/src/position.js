/**
 * Where a client is in its channel: the next message wanted, and the life of the channel
 * (its epoch) that the number belongs to. It delivers the messages in order, each once, and
 * tells what is missing. A subclass has the connection: _connect(), and _over() at its end.
 */
export class Position {
  constructor(c) {
    this._callback = c.callback || c.sub_callback;
    this._parent = c._parent; // the iComet that it belongs to, which tells its events too
    this._listeners = {};
    const from = /^([0-9a-f]{8})-(\d+)$/.exec(c.from || '');
    if (c.from && !from) throw new TypeError('iComet: from is not a position');
    this._epoch = from ? from[1] : ''; // of the life of the channel that _next belongs to; '' before it is known
    this._next = from ? +from[2] + 1 : c.seq || 0;
    this._fresh = !from && this._next < 2; // if true, messages missing before the first one are no gap
  }

  /** The number of the next message wanted; 0 before it is known. */
  get seq() {
    return this._next;
  }

  /** Where this client is: EPOCH-SEQ of the last message it has had; '' if the server tells no epoch. */
  get position() {
    return this._positionOf(this._next - 1);
  }

  _positionOf(seq) {
    return this._epoch && this._epoch + '-' + seq;
  }

  /** Calls fn for each event of a type. Returns a function that removes fn. */
  on(type, fn) {
    return listen(this._listeners, type, fn);
  }

  _emit(type, event) {
    event = { channel: this._config.channel, ...event };
    tell(this._listeners, type, event);
    this._parent._emit(type, event);
  }

  /** Handles a message that the other tabs need too: they get it with the position before it. */
  _share(msg) {
    this._post({ msg, epoch: this._epoch, next: this._next });
    this._apply(msg);
  }

  _apply(msg) {
    const { type } = msg;
    if (type === 'position') this._moveTo(msg);
    else if (type === 'end') this._over(type);
    else if (type === 'data' || type === 'broadcast') this._accept(msg);
  }

  /** Handles the server's word on where this client stands. */
  _moveTo({ epoch, seq, recovered, reason }) {
    const { _epoch: known, _next: next } = this;
    this._advanced = this._asks || epoch !== known || seq !== next;
    if (reason === 'ahead' || (known && epoch !== known)) {
      this._reset(seq, epoch, reason);
      if (known || next < 2 || seq < 2) return;
      // What is stored may all be unknown to this client.
      this._setNext(1, '');
      return this._connect();
    }
    if (!known) {
      if (!recovered) this._lost(seq, 'unknown', reason);
    } else if (seq > next) {
      this._lost(seq);
    } else {
      this._isRecovered();
    }
    this._setNext(Math.max(next, seq), epoch);
    this._tellState();
  }

  /** Handles the next message's number from a server that tells no position, or after a broadcast. */
  _nextIs(seq) {
    if (seq === this._next) return;
    this._advanced = true;
    if (seq < this._next) {
      // The channel is a new one (after a restart). Its first messages may still be
      // stored, so they are asked for from 1 on.
      this._reset();
      this._post({ reset: 1 });
      if (seq > 1) return this._connect();
    } else {
      if (this._next && !this._fresh) this._lost(seq);
      this._setNext(seq);
    }
    this._tellState();
  }

  _setNext(next, epoch = this._epoch) {
    this._next = next;
    this._epoch = epoch;
    this._fresh = false;
  }

  _isRecovered() {
    this._emit('recovered', { position: this.position });
  }

  /** Tells that what is before `to` is lost, and perhaps (`unknown`) more. */
  _lost(to, unknown, reason = 'trimmed') {
    const lost = { from: this._next, to: to - 1 };
    if (to > this._next) this._emit('gap', { lost });
    this._emit('lost', { lost: unknown || lost, reason });
  }

  /** The numbers are those of another life of the channel. */
  _reset(next = 1, epoch = '', reason = 'epoch') {
    this._emit('reset', { seq: this._next });
    this._lost(0, 'unknown', reason);
    this._setNext(next, epoch);
  }

  /** Delivers a message, unless it was delivered before, and reports missing ones. */
  _accept(msg) {
    const { seq } = msg;
    if (seq < this._next) return;
    if (seq > this._next && this._next && !this._fresh) this._lost(seq);
    this._setNext(seq + 1);
    this._advanced = true;
    if (this._callback) guard(this._callback, msg.content);
    this._emit('message', {
      content: msg.content, seq, cname: msg.cname, broadcast: msg.type === 'broadcast', position: this._positionOf(seq),
    });
  }

  /** Overridden by iComet: send a message, or the state, to the other tabs. */
  _post() {}
  _tellState() {}
}

export function listen(listeners, type, fn) {
  (listeners[type] = listeners[type] || new Set()).add(fn);
  return () => listeners[type].delete(fn);
}

export function tell(listeners, type, event) {
  for (const fn of listeners[type] || []) guard(fn, { type, ...event });
}

/** Calls fn. An exception of the application is thrown later, so that it cannot disturb us. */
function guard(fn, arg) {
  try {
    fn(arg);
  } catch (e) {
    setTimeout(() => {
      throw e;
    });
  }
}
