// Does what its input says with one of the WebSocket clients of npm: websocket.mjs CLIENT.
// websockets_test.go says what the input and the output are.
import { createHash } from 'node:crypto';
import { subscribe } from 'node:diagnostics_channel';
import { createInterface } from 'node:readline';
import { ping as undiciPing, WebSocket as UndiciWebSocket } from 'undici';
import { WebSocket as WsWebSocket } from 'ws';

const tell = (...words) => console.log(words.join(' '));

const got = text => {
  const data = Buffer.from(text);
  if (data.length > 1000) tell('large', data.length, createHash('sha1').update(data).digest('hex'));
  else tell('message', text);
};

const opened = socket => tell('open', socket.protocol || '-', socket.extensions.split(';')[0] || '-');

function openWs(url, { protocols, origin, compress }) {
  const socket = new WsWebSocket(url, protocols, {
    origin,
    maxPayload: 0,
    perMessageDeflate: compress ? { threshold: 0 } : false,
  });
  socket.on('unexpected-response', (_, answer) => {
    tell('refused', answer.statusCode);
    answer.destroy();
  });
  socket.on('open', () => opened(socket));
  socket.on('message', (data, binary) => got(binary ? 'a binary message' : data.toString()));
  socket.on('ping', () => tell('pinged'));
  socket.on('pong', data => tell('pong', data));
  socket.on('error', e => console.error(e.message));
  socket.on('close', (code, reason) => tell('closed', code, reason));
  return {
    send: text => socket.send(text),
    binary: text => socket.send(Buffer.from(text)),
    bytes: base64 => socket.send(Buffer.from(base64, 'base64'), { binary: false }),
    unmasked: text => socket.send(text, { mask: false }),
    ping: text => socket.ping(text),
    close: code => socket.close(code),
  };
}

function openUndici(url, { protocols, origin }) {
  const socket = new UndiciWebSocket(url, { protocols, headers: origin ? { origin } : {} });
  let open = false;
  socket.onopen = () => {
    open = true;
    opened(socket);
  };
  socket.onmessage = event => got(event.data);
  socket.onclose = event => {
    if (open) tell('closed', event.code, event.reason);
    else tell('refused'); // it does not say why
  };
  return {
    send: text => socket.send(text),
    binary: text => socket.send(Buffer.from(text)),
    ping: text => undiciPing(socket, Buffer.from(text)),
    close: code => socket.close(code),
  };
}

// undici tells of pongs only here.
subscribe('undici:websocket:pong', ({ payload }) => tell('pong', payload));

const open = { ws: openWs, undici: openUndici }[process.argv[2]];
let socket;
createInterface({ input: process.stdin }).on('line', line => {
  const [what, ...values] = JSON.parse(line);
  if (what === 'open') socket = open(...values);
  else socket[what](...values);
}).on('close', () => process.exit());
