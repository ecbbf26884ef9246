import { fetchJSON, inPage, jsonp } from './request.js';

/**
 * A transport opens one connection. It calls `on.open()` when the server answers,
 * `on.messages(list)` with what has arrived, and last, once, `on.end(err)`. It returns a
 * function that ends the connection without a further call.
 */
export const openers = {
  sse(url, on, init) {
    const es = new EventSource(url('/sse'), { withCredentials: init.credentials === 'include' });
    es.onopen = on.open;
    es.onmessage = e => on.messages([JSON.parse(e.data)]);
    // It would reconnect by itself, but we decide when and from which number.
    es.onerror = () => {
      es.close();
      on.end(new Error('the event stream broke'));
    };
    return () => es.close();
  },

  stream(url, on, init) {
    const abort = new AbortController();
    (async () => {
      const r = await fetch(url('/stream'), { cache: 'no-store', signal: abort.signal, ...init });
      if (!r.ok) throw new Error('HTTP ' + r.status);
      on.open();
      const reader = r.body.getReader();
      const decoder = new TextDecoder();
      for (let rest = ''; ; ) {
        const { value, done } = await reader.read();
        if (done) throw new Error('the stream ended');
        const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
        rest = lines.pop();
        on.messages(lines.filter(Boolean).map(l => JSON.parse(l)));
      }
    })().catch(on.end);
    return () => abort.abort();
  },

  poll(url, on, init) {
    return fetchJSON(url('/sub'), init, polled(on));
  },

  jsonp(url, on) {
    return jsonp(url('/poll'), polled(on));
  },
};

const polled = on => (err, v) => {
  if (!err) on.messages([].concat(v));
  on.end(err);
};

export const available = {
  sse: () => typeof EventSource === 'function',
  stream: () => typeof fetch === 'function' && typeof TextDecoder === 'function' && 'body' in Response.prototype,
  poll: () => typeof fetch === 'function',
  jsonp: () => inPage,
};

export const isPoll = name => name === 'poll' || name === 'jsonp';
