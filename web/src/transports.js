import { absolute, fetchJSON, inPage, jsonp, pieces, scripts, streams } from './request.js';

const canFetch = typeof fetch === 'function';
const canStream = canFetch && streams;
const SLOW_DOWN = 5000; // ms until a connection whose commands were too many is made again

/**
 * A transport opens one connection. It calls `on.open()` when the server answers,
 * `on.alive()` for all bytes that arrive, `on.messages(list)` with what is complete, and
 * last, once, `on.end(err)`. It returns a function that ends the connection without a
 * further call. A WebSocket's `on.open` gets the function that sends a command, and its
 * `on.end` tells more about the end.
 */
export const openers = {
  ws(url, on) {
    const socket = new WebSocket(absolute(url('/ws')).replace(/^http/, 'ws'));
    let opened = false;
    const stop = () => {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    };
    socket.onopen = () => {
      opened = true;
      on.open(command => socket.send(JSON.stringify(command)));
    };
    socket.onmessage = e => {
      try {
        on.messages([JSON.parse(e.data)]);
      } catch (error) {
        stop();
        on.end(error);
      }
    };
    socket.onclose = ({ code }) => {
      const over = opened && (code === 1000 || code === 1001); // done, or the server is being stopped
      on.end(over ? null : new Error('WebSocket closed: ' + code), { refused: !opened, least: code === 1008 ? SLOW_DOWN : 0 });
    };
    return stop;
  },

  // Read by fetch where that is possible: an EventSource shows whole messages only, so
  // that a large one on a slow link cannot be told from a dead connection.
  sse(url, on, init) {
    if (!canStream) return eventSource(url, on, init);
    let data = [];
    let named = false;
    return lines(url('/sse'), on, { headers: { Accept: 'text/event-stream' }, ...init }, list => {
      const got = [];
      for (const line of list) {
        if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
        if (line.startsWith('event:')) named = true;
        if (line) continue;
        if (data.length && !named) got.push(JSON.parse(data.join('\n')));
        data = [];
        named = false;
      }
      return got;
    });
  },

  stream(url, on, init) {
    return lines(url('/stream'), on, init, list => list.filter(Boolean).map(l => JSON.parse(l)));
  },

  poll(url, on, init) {
    return fetchJSON(url('/sub'), init, polled(on), 0, on.alive);
  },

  jsonp(url, on) {
    return jsonp(url('/poll'), polled(on));
  },
};

/** Reads an endless response by lines. `messages` makes messages of complete lines. */
function lines(url, on, init, messages) {
  const abort = new AbortController();
  (async () => {
    const r = await fetch(url, { cache: 'no-store', signal: abort.signal, ...init });
    if (!r.ok) throw new Error('HTTP ' + r.status);
    // The server's way to tell an EventSource that nothing more will come.
    if (r.status === 204) return on.messages([{ type: 'end' }]);
    on.open();
    let rest = []; // the beginning of a line, in pieces: a long one is joined only once
    await pieces(r, text => {
      on.alive();
      const list = text.split('\n');
      rest.push(list.shift());
      if (!list.length) return;
      list.unshift(rest.join(''));
      rest = [list.pop()];
      const got = messages(list.map(l => l.replace(/\r$/, '')));
      if (got.length) on.messages(got);
    });
    throw new Error('the stream ended');
  })().catch(on.end);
  return () => abort.abort();
}

function eventSource(url, on, init) {
  const es = new EventSource(url('/sse'), { withCredentials: init.credentials === 'include' });
  const end = error => {
    es.close(); // it would reconnect by itself, but we decide when and from which number
    on.end(error);
  };
  es.onopen = () => on.open();
  es.onmessage = e => {
    try {
      on.messages([JSON.parse(e.data)]);
    } catch (error) {
      end(error);
    }
  };
  es.onerror = () => end(new Error('the event stream broke'));
  return () => es.close();
}

const polled = on => (err, v) => {
  if (!err) on.messages([].concat(v));
  on.end(err);
};

export const available = {
  ws: () => typeof WebSocket === 'function',
  sse: () => canStream || typeof EventSource === 'function',
  stream: () => canStream,
  poll: () => canFetch,
  jsonp: () => inPage && scripts(),
};

export const isPoll = name => name === 'poll' || name === 'jsonp';

/** Whether only whole messages can be seen, not the bytes that arrive. */
export const isBlind = name => name === 'ws' || name === 'jsonp' || (name === 'sse' ? !canStream : !streams);
