/** Types of icomet.js, and its reference. */

declare class iComet {
  constructor(options: iComet.Options);
  /** The channel's name; after signing, the one that signUrl gave. */
  readonly cname: string;
  readonly state: iComet.State;
  readonly transport: iComet.Transport | undefined;
  /** The number of the next message; 0 before it is known. Remember it to come back later. */
  readonly seq: number;
  start(): void;
  stop(): void;
  /** Publishes through pubUrl; false when there is none or content is no text. */
  pub(content: string, callback?: (answer: any) => void): Promise<any> | false;
  /** Gives a token, for instance after a 401 in state `unauthorized`. */
  setToken(token: string): void;
  /** Listens; the function returned ends that. */
  on<K extends keyof iComet.EventMap>(type: K, listener: (event: iComet.EventMap[K]) => void): () => void;
}

declare namespace iComet {
  type Transport = 'sse' | 'stream' | 'poll' | 'jsonp';

  /**
   * - `connecting`: asking for a token, or for the connection
   * - `open`: the server answers
   * - `waiting`: the connection broke; it is tried again in `retryIn` ms
   * - `offline`: the browser says that there is no network
   * - `unauthorized`: the token was refused and there is no way to another; see setToken()
   * - `closed`: the channel was closed by the server's side; start() comes back
   * - `stopped`: by stop(), or not started yet
   * - `failed`: none of the transports works in this environment
   */
  type State =
    | 'connecting' | 'open' | 'waiting' | 'offline'
    | 'unauthorized' | 'closed' | 'stopped' | 'failed';

  interface Options {
    /** The channel's name: 1 to 255 bytes of UTF-8. */
    channel: string;
    /**
     * The server's front port, `https://push.example.com`, or one of its subscribe
     * paths, `…/poll`; behind a proxy with the path before it. A query is kept.
     */
    subUrl: string;
    /** Called with the content of each message, in order, each exactly once. */
    callback?: (content: string) => void;
    /**
     * An URL of the application that answers what /sign of the admin port answers,
     * as JSON or JSONP; it is asked with `cname=CHANNEL` before the first connection
     * and again after a 401. The application decides who gets a token.
     */
    signUrl?: string;
    /**
     * An URL of the application that publishes, for pub(). It gets `cname` and
     * `content`. See pubMethod.
     */
    pubUrl?: string;
    /**
     * How pubUrl is called. Default `GET`, as the original does; on another origin, or
     * with `=?` in it (`/push?cb=?`), by JSONP, whose callback it gets as `cb`. `POST`, for
     * long contents: a form by fetch, which another origin has to allow (CORS).
     */
    pubMethod?: 'GET' | 'POST';
    /** A token, or a function that gets one (again after a 401; `denied` counts those in a row). */
    token?: string | ((why: { channel: string; denied: number }) => string | Promise<string>);
    /**
     * The number of the first message wanted. Default 0: from now. 1: all that are
     * still stored. A number remembered from `comet.seq`: what came after that.
     */
    seq?: number;
    /** Which transports to use, the best first. Default: sse, stream, poll, jsonp. */
    transports?: Transport[];
    /**
     * Whether the tabs of this origin share one connection to the channel. Default
     * true, where the browser has Web Locks and BroadcastChannel (not on plain HTTP,
     * save localhost). A text keeps groups apart, for instance the users of one browser.
     */
    share?: boolean | string;
    /** fetch's credentials mode. Default `same-origin`. */
    credentials?: RequestCredentials;
    /** The first wait before coming back, in ms; it doubles. Default 1000. */
    retryMin?: number;
    /** The longest wait, in ms. Default 30000. Half of each wait is random. */
    retryMax?: number;
    /** The heartbeat period in ms until the server has said its own. Default 60000. */
    subTimeout?: number;
    /** false: start() is called by the application. Default true. */
    autoStart?: boolean;
  }

  interface EventMap {
    /** A message. `broadcast`: it was published to all channels. */
    message: { type: 'message'; content: string; seq: number; cname: string; broadcast: boolean };
    /** The state or the transport has changed. `follower`: another tab has the connection. */
    state: { type: 'state'; state: State; transport?: Transport; follower: boolean; retryIn?: number; error?: Error };
    /** These messages had left the server's buffer before they could be had; both included. */
    gap: { type: 'gap'; lost: { from: number; to: number } };
    /**
     * The channel's numbering has begun anew, for instance after a restart of the
     * server; `seq` is the number that was waited for. The new life is had from its start.
     */
    reset: { type: 'reset'; seq: number };
    /** The channel was closed; the client has stopped. */
    close: { type: 'close' };
    /**
     * Something failed; unless the state says otherwise it is tried again. `code`:
     * 401 token, 429 too many channels or subscribers, 0 anything else.
     */
    error: { type: 'error'; code: 0 | 401 | 429; error: Error };
  }
}

export = iComet;
export as namespace iComet;
