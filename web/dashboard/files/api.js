// Requests of the page to the admin port. The key, if one is needed, is kept as long as
// the tab.
// All addresses are relative to the page, which a proxy may have put below a path.
import { ask, el, store } from './ui.js';

// Several servers may be below one origin, each with its own key.
const storedKey = 'icomet-admin-key ' + location.pathname;
const session = store('sessionStorage');
let asking = null;
let locked = false; // the user has cancelled the question for the key

export const hasKey = () => session.get(storedKey) !== null;
export const isLocked = () => locked;

export function forgetKey() {
  session.remove(storedKey);
  location.reload();
}

function headers() {
  const key = session.get(storedKey);
  return key === null ? {} : { Authorization: 'Bearer ' + key };
}

// askKey asks once, however many requests have been refused.
function askKey() {
  asking ??= (async () => {
    const wrong = hasKey();
    const values = await ask({
      title: 'Admin key',
      text: (wrong ? 'This key is not accepted. ' : '') + 'The admin port of this server asks for a key (admin.keys). It is kept until the tab is closed.',
      confirm: 'Unlock',
      fields: [el('label', {}, 'Key', el('input', { name: 'key', type: 'password', required: true, autocomplete: 'off', autofocus: true }))],
    });
    asking = null;
    locked = values === null;
    if (locked) session.remove(storedKey);
    else session.set(storedKey, values.key);
    dispatchEvent(new Event('keychange'));
  })();
  return asking;
}

// failure is an error with a sentence for people. final: the same request will fail again.
function failure(sentence, final = false) {
  return Object.assign(new Error(sentence), { final });
}

async function refusal(r) {
  // Only the server's own texts are sentences; a proxy answers with a page.
  const own = (r.headers.get('Content-Type') ?? '').startsWith('text/plain');
  const text = own ? (await r.text().catch(() => '')).trim() : '';
  return failure(text || `The server's answer has the status ${r.status}.`, r.status >= 400 && r.status < 500 && r.status !== 408 && r.status !== 429);
}

// request asks for a key until it is accepted or the user cancels; then it throws, as it
// does for any other status than 200.
async function request(path, options = {}) {
  while (!locked) {
    const r = await fetch(path, { ...options, cache: 'no-store', headers: { ...options.headers, ...headers() } }).catch(e => {
      throw e.name === 'AbortError' ? e : failure('The server does not answer.');
    });
    if (r.status === 401) {
      await askKey();
      continue;
    }
    if (!r.ok) throw await refusal(r);
    return r;
  }
  throw failure('locked');
}

export async function get(path, params = {}, signal = undefined) {
  const query = new URLSearchParams(params).toString();
  return (await request(path + (query && '?' + query), { signal })).json();
}

// call carries out an action: push, clear, close.
export async function call(path, params) {
  return (await request(path, { method: 'POST', body: new URLSearchParams(params) })).text();
}

const silence = 5000; // ms without a line before the feed counts as broken; there is one line a second

// feed calls on(event, data) for every event of the server's stream, and state(text) when
// the stream starts or breaks. It ends when the user gives no key.
export async function feed(on, state) {
  for (let wait = 1000; ; wait = Math.min(2 * wait, 10000)) {
    const abort = new AbortController();
    let watch;
    const heard = () => {
      clearTimeout(watch);
      watch = setTimeout(() => abort.abort(), silence);
    };
    try {
      const response = await request('dashboard/feed', { signal: abort.signal });
      heard();
      for await (const [event, data] of events(response.body)) {
        heard();
        wait = 500;
        on(event, JSON.parse(data));
      }
      state('connection lost');
    } catch (e) {
      state(e.final || locked ? e.message : 'connection lost');
    }
    clearTimeout(watch);
    if (locked) return;
    await new Promise(done => setTimeout(done, wait));
  }
}

// events reads server-sent events.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      let event = 'line', data = '';
      for (const line of text.slice(0, end).split('\n')) {
        if (line.startsWith('event: ')) event = line.slice(7);
        if (line.startsWith('data: ')) data += line.slice(6);
      }
      yield [event, data];
    }
  }
}
