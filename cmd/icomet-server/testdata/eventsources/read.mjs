// Reads a URL with one of the event source clients of npm: read.mjs CLIENT URL. It prints a
// line "open" for each connection and a line "message DATA" for each event.
import { EventSource as NpmEventSource } from 'eventsource';
import { createEventSource } from 'eventsource-client';
import polyfill from 'event-source-polyfill';
import { EventSource as UndiciEventSource } from 'undici';

// This one expects a page around it, also when it is told not to look at its visibility.
globalThis.window = globalThis;
const { fetchEventSource } = await import('@microsoft/fetch-event-source');

const opened = () => console.log('open');
const got = event => console.log('message ' + event.data);

const listen = source => {
  source.onopen = opened;
  source.onmessage = got;
};

const clients = {
  'eventsource': url => listen(new NpmEventSource(url)),
  'event-source-polyfill': url => listen(new polyfill.EventSourcePolyfill(url, { headers: {} })),
  'undici': url => listen(new UndiciEventSource(url)),
  'eventsource-client': url => createEventSource({ url, onConnect: opened, onMessage: got }),
  'fetch-event-source': url => fetchEventSource(url, {
    openWhenHidden: true,
    onopen: opened,
    onmessage: got,
    onclose: () => { throw new Error('the response has ended: connect again'); },
  }),
};

const [client, url] = process.argv.slice(2);
clients[client](url);
setInterval(() => {}, 1 << 30); // some of them do not keep the process
