/**
 * icomet.js, the browser client of the iComet push server.
 *
 *     const comet = new iComet({
 *       channel: 'news',                          // or channels: ['news', 'weather']
 *       subUrl: 'https://push.example.com',       // the front port, or its /poll
 *       callback: content => console.log(content), // once per message, in order
 *     });
 *     comet.on('state', e => console.log(e.state, e.transport));
 *
 * It starts by itself, as the original client does. icomet.d.ts describes the options, the
 * events and their units.
 *
 * How it works. Each channel has a Channel with its own position: `next` is the number of
 * the next message wanted. Every connection asks from there, so nothing is lost or doubled
 * when a connection breaks or the transport changes. position.js has this number, and the
 * epoch that it belongs to; connection.js has the subscription of one channel, link.js puts
 * the subscriptions of a page on one connection, transports.js has the ways to make it, and
 * sharing.js lets the tabs of an origin share a channel's subscription.
 */

import { Channel } from './channel.js';
import { listen, tell } from './position.js';

const none = { cname: '', state: 'stopped', seq: 0, position: '' }; // instead of a channel
const isOver = c => ['stopped', 'closed', 'ended', 'unauthorized'].includes(c.state);

export class iComet {
  constructor(config) {
    const { channels, channel, from, seq, autoStart } = config;
    this._config = { ...config };
    this._callback = config.callback || config.sub_callback;
    this._listeners = {};
    this._channels = new Map(); // by the name that it was added with
    this._running = autoStart !== false;
    if (channels) for (const c of channels) this._make(typeof c === 'string' ? { channel: c } : c);
    else this._make({ channel, from, seq, callback: this._callback });
    // Only when all names have been looked at.
    if (this._running) this.start();
  }

  _make(options) {
    const { channel: name } = options;
    if (this._channels.has(name)) throw new TypeError('iComet: this channel is there already: ' + name);
    const { channels, seq, ...rest } = this._config;
    const c = new Channel({
      ...rest,
      from: '',
      seq: channels && seq, // the number of one channel is none of another's
      callback: this._callback && (content => this._callback(content, name)),
      ...options,
      _parent: this,
    });
    this._channels.set(name, c);
    return c;
  }

  _all() {
    return [...this._channels.values()];
  }

  /** Adds a channel, and returns it. */
  add(channel, options) {
    const c = this._make({ ...options, channel });
    if (this._running) c.start();
    return c;
  }

  /** Ends and forgets a channel; the others are not disturbed. Returns whether it was there. */
  remove(channel) {
    const c = this._channels.get(channel);
    if (c) c.stop();
    return this._channels.delete(channel);
  }

  /** A channel by its name; without one, the first that still goes on, else the first. */
  channel(name) {
    const all = this._all();
    return name === undefined ? all.find(c => !isOver(c)) || all[0] : this._channels.get(name);
  }

  get channels() {
    return [...this._channels.keys()];
  }

  get cname() {
    return (this.channel() || none).cname;
  }

  get transport() {
    return (this.channel() || none).transport;
  }

  get seq() {
    return (this.channel() || none).seq;
  }

  get position() {
    return (this.channel() || none).position;
  }

  /** Open when all are that still go on, and over when none does. */
  get state() {
    return (this._all().find(c => !isOver(c) && c.state !== 'open') || this.channel() || none).state;
  }

  /** Connects, and continues where stop() has stopped. Does nothing for what runs. */
  start() {
    this._running = true;
    for (const c of this._all()) c.start();
  }

  /** Ends the connection. After it, only state events come. */
  stop() {
    this._running = false;
    for (const c of this._all()) c.stop();
  }

  /** Sets the token of all channels, usually after a 401; it may be called at any time. */
  setToken(token) {
    if (typeof this._config.token !== 'function') this._config.token = token; // also for those to come
    for (const c of this._all()) c.setToken(token);
  }

  /** Publishes in the channel; of several, in that of channel(). See Channel. */
  pub(content, callback) {
    return this.channel().pub(content, callback);
  }

  /** Calls fn for each event of a type, of all channels. Returns a function that removes fn. */
  on(type, fn) {
    return listen(this._listeners, type, fn);
  }

  _emit(type, event) {
    tell(this._listeners, type, event);
  }
}
