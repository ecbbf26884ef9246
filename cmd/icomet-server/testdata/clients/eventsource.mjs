// Reads URLs with each of the event source clients of npm: eventsource.mjs URL... It prints a
// line "CLIENT N open" for each connection, N being the URL's place from 0, and a line
// "CLIENT N message DATA" for each event.
import { EventSource as NpmEventSource } from 'eventsource';
import { createEventSource } from 'eventsource-client';
import polyfill from 'event-source-polyfill';
import { EventSource as UndiciEventSource } from 'undici';

// This one expects a page around it, also when it is told not to look at its visibility.
globalThis.window = globalThis;
const { fetchEventSource } = await import('@microsoft/fetch-event-source');

const listen = (source, opened, got) => {
  source.onopen = opened;
  source.onmessage = got;
};

const clients = {
  'eventsource': (url, ...on) => listen(new NpmEventSource(url), ...on),
  'event-source-polyfill': (url, ...on) => listen(new polyfill.EventSourcePolyfill(url, { headers: {} }), ...on),
  'undici': (url, ...on) => listen(new UndiciEventSource(url), ...on),
  'eventsource-client': (url, onConnect, onMessage) => createEventSource({ url, onConnect, onMessage }),
  'fetch-event-source': (url, onopen, onmessage) => fetchEventSource(url, {
    openWhenHidden: true,
    onopen,
    onmessage,
    onclose: () => { throw new Error('the response has ended: connect again'); },
  }),
};

for (const [n, url] of process.argv.slice(2).entries()) {
  for (const client in clients) {
    clients[client](
      url,
      () => console.log(client, n, 'open'),
      event => console.log(client, n, 'message', event.data),
    );
  }
}
setInterval(() => {}, 1 << 30); // some of them do not keep the process
