/** Requests with one JSON answer, by fetch or by a script tag. */

export const inPage = typeof document === 'object';
let callbacks = 0;

export const query = (url, params) => {
  const pairs = Object.keys(params)
    .filter(k => params[k] !== undefined && params[k] !== '')
    .map(k => k + '=' + encodeURIComponent(params[k]));
  return url + (url.includes('?') ? '&' : '?') + pairs.join('&');
};

/** Parses JSON, which may be wrapped in the call of a callback. */
const parse = text => JSON.parse(text.replace(/^\s*[\w$.]*\(|\)[;\s]*$/g, ''));

/**
 * Loads a script that calls a callback. In `url`, `=?` is replaced by the callback's name;
 * without it, cb= is added. `limit` is in ms. Returns a function that aborts.
 */
export function jsonp(url, done, limit) {
  const name = 'icomet_cb_' + ++callbacks;
  const script = document.createElement('script');
  let timer;
  const end = (err, value) => {
    if (!done) return;
    clearTimeout(timer);
    const d = done;
    done = null;
    script.remove();
    // The script may still run after the tag is removed, and must then find a function.
    globalThis[name] = () => {};
    d(err, value);
  };
  globalThis[name] = value => end(null, value);
  script.onload = script.onerror = () => {
    end(new Error('no answer from ' + url));
    delete globalThis[name];
  };
  if (limit) timer = setTimeout(() => end(new Error('timeout')), limit);
  script.async = true;
  script.src = url.includes('=?') ? url.replace('=?', '=' + name) : query(url, { cb: name });
  document.head.appendChild(script);
  return () => {
    clearTimeout(timer);
    done = null;
    script.remove();
    globalThis[name] = () => {};
  };
}

/** The same with fetch. */
export function fetchJSON(url, init, done, limit) {
  const abort = new AbortController();
  const timer = limit && setTimeout(() => abort.abort(), limit);
  fetch(url, { cache: 'no-store', signal: abort.signal, ...init })
    .then(r => {
      if (!r.ok) throw new Error('HTTP ' + r.status);
      return r.text();
    })
    .then(parse)
    .then(v => done && done(null, v), e => done && done(e))
    .then(() => clearTimeout(timer));
  return () => {
    done = null;
    abort.abort();
  };
}

/** Tries fetch, then a script tag: the origin of the page may allow only one of them. */
export function getJSON(url, init, limit) {
  return new Promise((resolve, reject) => {
    const finish = (err, v) => (err ? reject(err) : resolve(v));
    const byScript = err => (inPage ? jsonp(url, finish, limit) : finish(err));
    if (typeof fetch !== 'function' || url.includes('=?')) return byScript(new Error('no fetch'));
    fetchJSON(url, init, (err, v) => (err ? byScript(err) : finish(null, v)), limit);
  });
}
