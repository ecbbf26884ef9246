/** The clock, and requests with one JSON answer, by fetch or by a script tag. */

/** The value of f(), or `otherwise` if it throws: a page may not even look at some globals. */
export const attempt = (f, otherwise) => {
  try {
    return f();
  } catch (e) {
    return otherwise;
  }
};

const clock = attempt(() => performance.now() >= 0 && performance, 0) || Date;

/** Milliseconds of a clock that nobody can set, where the platform has one. */
export const now = () => clock.now();

export const inPage = typeof document === 'object';
let callbacks = 0;

export const query = (url, params) => {
  const pairs = Object.keys(params)
    .filter(k => params[k] !== undefined && params[k] !== '')
    .map(k => k + '=' + encodeURIComponent(params[k]));
  return url + (url.includes('?') ? '&' : '?') + pairs.join('&');
};

/** The URL that a request for `url` goes to. */
const resolved = url => new URL(url, inPage ? document.baseURI : location.href);

/** The same as a text, which is `url` itself where it cannot be told. */
export const absolute = url => attempt(() => resolved(url).href, url);

/** Whether the URL is of another origin than the page's (which has none in a sandbox). */
export const foreign = url => attempt(() => resolved(url).origin !== globalThis.origin, true);

/** Parses JSON, which may be wrapped in the call of a callback. */
const parse = text => JSON.parse(text.replace(/^\s*[\w$.]*\(|\)[;\s]*$/g, ''));

let policy; // of Trusted Types; false: the page forbids it
let refused = false; // the page's Content-Security-Policy has refused our script

/** Whether a script tag may be tried here. */
export const scripts = () => inPage && policy !== false && !refused;

/** The URL in the form that script.src takes in this page. */
function scriptURL(url) {
  if (!globalThis.trustedTypes) return url;
  if (!policy) {
    policy = false;
    policy = trustedTypes.createPolicy('icomet', { createScriptURL: u => u });
  }
  return policy.createScriptURL(url);
}

/**
 * Loads a script that calls a callback. In `url`, `=?` is replaced by the callback's name;
 * without it, cb= is added. `limit` is in ms. Returns a function that aborts.
 */
export function jsonp(url, done, limit) {
  const name = 'icomet_cb_' + ++callbacks;
  const script = document.createElement('script');
  let timer;
  const watch = e => {
    if (e.target === script || (e.blockedURI && script.src.startsWith(e.blockedURI))) refused = true;
  };
  const leave = () => {
    clearTimeout(timer);
    done = null;
    script.remove();
    // A violation is reported a little later than the error.
    setTimeout(() => document.removeEventListener('securitypolicyviolation', watch), 1000);
    // The script may still run after the tag is removed, and must then find a function.
    globalThis[name] = () => {};
  };
  const end = (err, value) => {
    const d = done;
    if (!d) return;
    leave();
    d(err, value);
  };
  globalThis[name] = value => end(null, value);
  script.onload = script.onerror = () => {
    end(new Error('no answer from ' + url));
    delete globalThis[name];
  };
  if (limit) timer = setTimeout(() => end(new Error('timeout')), limit);
  script.async = true;
  document.addEventListener('securitypolicyviolation', watch);
  try {
    if (!scripts()) throw new Error('the page allows no script');
    script.src = scriptURL(url.includes('=?') ? url.replace('=?', '=' + name) : query(url, { cb: name }));
    (document.head || document.documentElement).appendChild(script);
  } catch (e) {
    setTimeout(() => end(e));
  }
  return leave;
}

/** Reads a body as text, and calls take for every piece that arrives, '' included. */
export async function pieces(r, take) {
  const reader = r.body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    take(decoder.decode(value, { stream: true }));
  }
}

/** Whether the bytes of an answer can be seen as they arrive. */
export const streams = attempt(() => typeof TextDecoder === 'function' && 'body' in Response.prototype, false);

/**
 * The same with fetch. `limit` is the longest silence in ms, however long the answer takes.
 * `alive` is called for everything that arrives.
 */
export function fetchJSON(url, init, done, limit, alive) {
  const abort = new AbortController();
  let timer;
  const heard = () => {
    clearTimeout(timer);
    if (limit) timer = setTimeout(() => abort.abort(), limit);
    if (alive) alive();
  };
  const all = [];
  const end = (err, v) => {
    clearTimeout(timer);
    if (done) done(err, v);
  };
  heard();
  fetch(url, { cache: 'no-store', signal: abort.signal, ...init })
    .then(r => {
      if (!r.ok) throw new Error('HTTP ' + r.status);
      heard();
      if (!streams || !r.body) return r.text();
      return pieces(r, text => {
        heard();
        all.push(text);
      }).then(() => all.join(''));
    })
    .then(parse)
    .then(v => end(null, v), end);
  return () => {
    done = null;
    clearTimeout(timer);
    abort.abort();
  };
}

/**
 * Tries fetch. A script tag is tried only where it can do more: `byScript` allows it, and
 * another origin does not let the page read its answer. An answer, also a refusal, is final.
 */
export function getJSON(url, init, limit, byScript) {
  return new Promise((resolve, reject) => {
    const finish = (err, v) => (err ? reject(err) : resolve(v));
    if (url.includes('=?')) return jsonp(url, finish, limit);
    byScript = byScript && scripts() && foreign(url);
    if (typeof fetch !== 'function') return byScript ? jsonp(url, finish, limit) : finish(new Error('no fetch'));
    fetchJSON(url, init, (err, v) => (err instanceof TypeError && byScript ? jsonp(url, finish, limit) : finish(err, v)), limit);
  });
}

/** Whether something answers at a URL, also if the page may not read the answer. */
export function answers(url, init, limit) {
  const abort = new AbortController();
  setTimeout(() => abort.abort(), limit);
  return fetch(url, { cache: 'no-store', ...init, mode: 'no-cors', signal: abort.signal }).then(() => true, () => false);
}
