// Keeps WebSockets of the package ws open: reconnect.mjs COUNT URL CNAME... One that closes
// is opened again, from the position that it has in each channel. It prints lines:
//
//	N open, N closed CODE, N message TEXT (N from 0; no heartbeats)
import { WebSocket } from 'ws';

const [count, url, ...names] = process.argv.slice(2);
const tell = (...words) => console.log(words.join(' '));

function follow(n, channels) {
  const query = [...channels].map(([cname, { seq, epoch }]) => `cname=${cname}&seq=${seq}&epoch=${epoch}`);
  const socket = new WebSocket(`${url}?${query.join('&')}`);
  let open = false;
  socket.on('open', () => {
    open = true;
    tell(n, 'open');
  });
  socket.on('message', data => {
    const { type, cname, seq, epoch } = JSON.parse(data);
    if (type === 'noop') return;
    if (type === 'position') channels.set(cname, { seq, epoch });
    if (type === 'data') channels.get(cname).seq = seq + 1;
    tell(n, 'message', data);
  });
  socket.on('error', e => console.error(n, e.message));
  socket.on('close', code => {
    if (open) tell(n, 'closed', code);
    setTimeout(follow, 50 * Math.random(), n, channels);
  });
}

for (let n = 0; n < count; n++) follow(n, new Map(names.map(cname => [cname, { seq: 1, epoch: '' }])));
