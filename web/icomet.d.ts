/** Types of icomet.js, and its reference. */

/**
 * The client of one channel, or of several on one connection. With several, its `cname`,
 * `transport`, `position`, `seq` and `pub` are those of channel().
 */
declare class iComet {
  constructor(options: iComet.Options);
  /** The channel's name; after signing, the one from signUrl. */
  readonly cname: string;
  /** With several channels: `open` when all are that still go on, and over when none does. */
  readonly state: iComet.State;
  readonly transport: iComet.Transport | undefined;
  /**
   * Where this client stands, as `EPOCH-SEQ`: the epoch of the channel and the number of the
   * last message had. Store it, and continue with the option `from`. `''` before it is known,
   * and with a server of 0.1.
   */
  readonly position: string;
  /** The number of the next message; 0 before it is known. */
  readonly seq: number;
  /** The names of the channels, as they were added. */
  readonly channels: string[];
  /** A channel by its name; without one, the first that still goes on, else the first. */
  channel(name?: string): iComet.Channel | undefined;
  /**
   * Adds a channel, also while the connection is open, and returns it. An error if it is
   * there already. What the options leave out comes from the constructor's; but `seq` does
   * so only if that had `channels`.
   */
  add(channel: string, options?: iComet.ChannelOptions): iComet.Channel;
  /** Ends and forgets a channel. Returns whether it was there. */
  remove(channel: string): boolean;
  /** Starts all channels that do not run. */
  start(): void;
  /** Stops all channels. */
  stop(): void;
  /** Publishes through pubUrl; false if there is none or content is not a string. */
  pub(content: string, callback?: (answer: any) => void): Promise<any> | false;
  /**
   * Sets the token of all channels, for instance after a 401 in state `unauthorized`. Only
   * tabs with the same token go on sharing. With tokens of their own: channel(name).setToken().
   */
  setToken(token: string): void;
  /** Adds a listener for the events of all channels. Returns a function that removes it. */
  on<K extends keyof iComet.EventMap>(type: K, listener: (event: iComet.EventMap[K]) => void): () => void;
}

declare namespace iComet {
  type Transport = 'ws' | 'sse' | 'stream' | 'poll' | 'jsonp';

  /**
   * - `connecting`: getting a token, or connecting
   * - `open`: the server answers
   * - `waiting`: the connection has failed; the next attempt is in `retryIn` ms
   * - `offline`: the browser reports that there is no network
   * - `unauthorized`: the token was refused and there is no way to get another; see setToken()
   * - `closed`: the server has closed the channel; start() connects again
   * - `ended`: the channel has ended, and all of it was delivered
   * - `stopped`: by stop(), or not started yet
   * - `failed`: none of the transports works in this environment
   */
  type State =
    | 'connecting' | 'open' | 'waiting' | 'offline'
    | 'unauthorized' | 'closed' | 'ended' | 'stopped' | 'failed';

  /** One of several channels. start() and stop() concern only it, and its listeners hear only of it. */
  type Channel = Pick<iComet, 'cname' | 'state' | 'transport' | 'position' | 'seq' | 'start' | 'stop' | 'pub' | 'setToken' | 'on'>;

  /** What each channel of a client may have for itself. */
  interface ChannelOptions {
    /** Called with the content of each message of this channel, instead of the client's callback. */
    callback?: (content: string) => void;
    seq?: number;
    from?: string;
    token?: Options['token'];
    signUrl?: string;
    pubUrl?: string;
  }

  type Options = CommonOptions & (OneChannel | SeveralChannels);

  interface OneChannel {
    /** The channel's name: 1 to 255 bytes of UTF-8. */
    channel: string;
    channels?: undefined;
  }

  interface SeveralChannels {
    /** The channels to begin with, by name or with options of their own; add() and remove() change them. */
    channels: (string | (ChannelOptions & { channel: string }))[];
    channel?: undefined;
  }

  interface CommonOptions {
    /**
     * The server's front port, `https://push.example.com`, or one of its subscribe
     * paths, `…/poll`; with the prefix of a proxy, if any. A query is kept.
     */
    subUrl: string;
    /**
     * Called with the content of each message, in order, each exactly once; with several
     * channels also with the name of the channel.
     */
    callback?: (content: string, channel: string) => void;
    /**
     * A URL of the application that returns the answer of the admin port's /sign, as
     * JSON or JSONP. It is requested with `cname=CHANNEL` before the first connection and
     * after a 401. The application decides who gets a token.
     */
    signUrl?: string;
    /**
     * A URL of the application that publishes, for pub(). It gets `cname` and
     * `content`. See pubMethod.
     */
    pubUrl?: string;
    /**
     * How pubUrl is called. `GET` (default), as the original does: by fetch, or by JSONP
     * (parameter `cb`) on another origin or if the URL has `=?` (`/push?cb=?`). `POST`, for
     * long contents: a form by fetch, which another origin has to allow (CORS).
     */
    pubMethod?: 'GET' | 'POST';
    /** A token, or a function that returns one, called again after a 401; `denied` counts 401s in a row. */
    token?: string | ((why: { channel: string; denied: number }) => string | Promise<string>);
    /**
     * The number of the first message wanted. 0 (default): from now. 1: all stored ones.
     * Any other number is one of an unknown life of the channel: the event `lost` says so.
     * With `channels` it is for each that has no number of its own.
     */
    seq?: number;
    /**
     * An earlier `position`, or `''` for none: continues behind it, and `seq` means nothing.
     * The first event is then `recovered` or `lost`. With `channels`, each has its own.
     */
    from?: string;
    /**
     * Which transports to use, the best first. Default: ws, sse, stream, poll, jsonp. Without
     * jsonp, the client makes no script tags (but for a signUrl or pubUrl with `=?`).
     */
    transports?: Transport[];
    /**
     * Whether the tabs of this origin share one connection to the channel. Default true,
     * if the browser has Web Locks and BroadcastChannel (on HTTPS and localhost). Only tabs
     * with the same channel, subUrl, signUrl, token and credentials share. With a token
     * function, that is the token that it returns first. With a string, also the string has
     * to be the same, for instance the user's name; of a token function then its text counts.
     */
    share?: boolean | string;
    /**
     * false: each channel has a connection of its own. Default true: all channels of a page,
     * also of several clients, are on one connection, if they have the same subUrl,
     * credentials and transports.
     */
    multiplex?: boolean;
    /**
     * fetch's credentials mode. Default `same-origin`. With `include`, another origin gets
     * the cookies too; its front.allow_origins has to list the page's origin by name.
     * A WebSocket sends the cookies in any case; with `omit` none is used.
     */
    credentials?: RequestCredentials;
    /** The first wait before a new attempt, in ms; it doubles each time. Default 1000. */
    retryMin?: number;
    /** The longest wait, in ms. Default 30000. Half of each wait is random. */
    retryMax?: number;
    /** The heartbeat period in ms, until the server has told its own. Default 60000. */
    subTimeout?: number;
    /** false: the application calls start(). Default true. */
    autoStart?: boolean;
  }

  /** `channel` is the name that the channel was added with. */
  interface EventMap {
    /** A message. `broadcast`: it was published to all channels. */
    message: { type: 'message'; channel: string; content: string; seq: number; cname: string; broadcast: boolean; position: string };
    /** The state or the transport has changed. `follower`: another tab has the connection. */
    state: { type: 'state'; channel: string; state: State; transport?: Transport; follower: boolean; retryIn?: number; error?: Error };
    /** The connection was made again, and the server is certain that nothing was missed. */
    recovered: { type: 'recovered'; channel: string; position: string };
    /**
     * Messages will not come, told once for each loss, before what follows it. `lost`: their
     * numbers, both ends included, or `'unknown'` where nobody can know. `reason`:
     * - `trimmed`: they had left the server's buffer
     * - `epoch`: the channel is not the one of the last position (closed, expired, or the
     *   server has lost it). All that it has stored follows
     * - `ahead`: the channel has not reached the number
     */
    lost: { type: 'lost'; channel: string; lost: { from: number; to: number } | 'unknown'; reason: 'trimmed' | 'epoch' | 'ahead' };
    /** Besides `lost`, when the numbers of missing messages are known. */
    gap: { type: 'gap'; channel: string; lost: { from: number; to: number } };
    /**
     * Besides `lost`, when the channel's numbering has started again. `seq` is the number
     * that was expected.
     */
    reset: { type: 'reset'; channel: string; seq: number };
    /** The channel was closed; the client has stopped. */
    close: { type: 'close'; channel: string };
    /** The channel has ended, and all of it was delivered; the client has stopped. */
    end: { type: 'end'; channel: string };
    /**
     * Something has failed, and is tried again unless the state says otherwise. `code`:
     * 401 token, 429 too many channels or subscribers, 0 anything else.
     */
    error: { type: 'error'; channel: string; code: 0 | 401 | 429; error: Error };
  }
}

export = iComet;
export as namespace iComet;
