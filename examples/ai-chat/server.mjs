/** The application: the page, the chats, and the calls of the model. */

import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { convertToModelMessages, generateId, streamText } from 'ai';
import { build } from 'esbuild';
import { model } from './model.mjs';
import { pushAnswer } from './push.mjs';

const FRONT = process.env.FRONT || 'http://127.0.0.1:8100';
const chats = new Map(); // by id: { messages, answer: the URL of the newest answer }

const bundle = await build({
  entryPoints: [new URL('app.jsx', import.meta.url).pathname],
  bundle: true,
  format: 'esm',
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"' },
  write: false,
});

/** POST /api/chat, which DefaultChatTransport calls: it sends the browser on to the channel. */
async function ask(request, response) {
  const { id, messages } = JSON.parse(await text(request));
  // Who knows the name may subscribe; see the README for tokens.
  const cname = 'answer.' + randomUUID();
  const answer = `${FRONT}/sse?cname=${cname}&seq=1&raw=1`;
  const chat = { messages, answer };
  const result = streamText({ model, messages: await convertToModelMessages(messages) });
  const stream = result.toUIMessageStream({
    originalMessages: messages,
    generateMessageId: generateId,
    onFinish: ({ messages }) => {
      chat.messages = messages;
    },
  });
  chats.set(id, chat);
  await new Promise((begun, failed) => pushAnswer(cname, stream, begun).catch(failed));
  response.writeHead(303, { Location: answer }).end();
}

const page = `<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>A chat through iComet</title>
<link rel="icon" href="data:,">
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 2em auto; padding: 0 1em }
  .user { color: #555 }
  .status { color: #888; font-size: 13px }
  input { font: inherit; width: 100%; box-sizing: border-box; padding: .5em }
</style>
<div id="chat"></div>
<script type="module" src="/app.js"></script>
</html>`;

async function serve(request, response) {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  const send = (type, body) => response.writeHead(200, { 'Content-Type': type + '; charset=utf-8' }).end(body);
  if (pathname === '/') return send('text/html', page);
  if (pathname === '/app.js') return send('text/javascript', bundle.outputFiles[0].text);
  if (pathname === '/api/chat' && request.method === 'POST') return ask(request, response);
  if (pathname === '/api/chat') return send('application/json', JSON.stringify(chats.get(searchParams.get('id')) || { messages: [] }));
  response.writeHead(404).end();
}

const server = createServer((request, response) => {
  serve(request, response).catch(error => {
    console.error(error);
    response.writeHead(500).end();
  });
});
server.listen(process.env.PORT || 3000, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
