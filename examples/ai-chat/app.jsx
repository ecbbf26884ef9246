import { useState } from 'react';
import { createRoot } from 'react-dom/client';
import { Chat, useChat } from '@ai-sdk/react';
import { DefaultChatTransport } from 'ai';

const RETRY = 1000; // ms until an answer that broke off is asked for again

// The chat's id is in the address, so that a reload finds it.
const id = location.hash.slice(1) || (location.hash = crypto.randomUUID());
const load = async () => (await fetch('/api/chat?id=' + id)).json();
const { messages: past } = await load();

// Whether an answer is due that nobody reads: the page was loaded in the middle of it, or
// the stream broke off.
let broken = past.at(-1)?.role === 'user';

// useChat is given a Chat, because one that it makes itself forgets that its transport
// replays, and then shows the beginning of an answer twice after a break.
const chat = new Chat({
  id,
  messages: past,
  transport: new DefaultChatTransport({
    api: '/api/chat',
    // An answer is resumed from its first chunk, straight from iComet. 204: it is not there.
    prepareReconnectToStreamRequest: async () => ({ api: (await load()).answer }),
  }),
  onFinish: ({ isError, finishReason }) => {
    broken = isError || !finishReason;
  },
});

async function resume() {
  const { messages } = await load();
  if (messages.at(-1)?.role === 'user') return chat.resumeStream();
  broken = false; // the answer was completed meanwhile, and the application has it
  chat.messages = messages;
  chat.clearError();
}

async function watch() {
  if (broken) await resume().catch(console.warn);
  setTimeout(watch, RETRY);
}
watch();

function App() {
  const { messages, status, sendMessage } = useChat({ chat });
  const [input, setInput] = useState('');
  const submit = event => {
    event.preventDefault();
    if (!input || status === 'submitted' || status === 'streaming') return;
    sendMessage({ text: input });
    setInput('');
  };
  return (
    <>
      {messages.map(message => (
        <p key={message.id} className={message.role}>
          {message.parts.map(part => (part.type === 'text' ? part.text : '')).join('')}
        </p>
      ))}
      <p className="status">{status}</p>
      <form onSubmit={submit}>
        <input autoFocus value={input} onChange={e => setInput(e.target.value)} placeholder="Ask something" />
      </form>
    </>
  );
}

createRoot(document.getElementById('chat')).render(<App />);
