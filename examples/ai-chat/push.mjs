/**
 * Carries answers to the browser through iComet: a channel for each answer, and a message
 * for each chunk of the AI SDK's stream.
 */

const ADMIN = process.env.ADMIN || 'http://127.0.0.1:8000';
const RETRY = 200; // ms until a call that failed is repeated

/**
 * Pushes the chunks, then ends the channel. Calls `begun` when the first one is stored: then
 * the channel is there, and a browser can subscribe to it.
 *
 * Chunk i is message i of the channel, and if_seq has the server refuse anything else. So a
 * call whose answer was lost can be repeated; and if the server was restarted and has lost
 * the channel, it says so, and the answer is pushed again from its first chunk. Whoever reads
 * from message 1 gets the whole answer in either case.
 */
export async function pushAnswer(cname, stream, begun) {
  const chunks = [];
  let complete = false;
  let more = () => {};
  const reading = (async () => {
    for await (const chunk of stream) {
      chunks.push(JSON.stringify(chunk));
      more();
    }
    complete = true;
    more();
  })();
  for (let seq = 1; ; ) {
    if (seq <= chunks.length) {
      const { status, answer } = await call('/push', { cname, content: chunks[seq - 1], if_seq: seq });
      seq = status === 409 ? answer.seq : seq + 1;
      if (seq === 2) begun();
    } else if (!complete) {
      await Promise.race([reading, new Promise(resolve => (more = resolve))]);
    } else if ((await call('/end', { cname })).status === 404) {
      seq = 1; // restarted before the end
    } else {
      return reading;
    }
  }
}

/** Calls the admin port until it answers, however long the server is away. */
async function call(path, parameters) {
  for (;;) {
    try {
      const response = await fetch(ADMIN + path, { method: 'POST', body: new URLSearchParams(parameters) });
      const text = await response.text();
      if (response.ok) return { status: response.status };
      if (response.status === 409) return { status: 409, answer: JSON.parse(text) };
      if (response.status === 404) return { status: 404 };
      if (response.status < 500 && response.status !== 429) throw new Error(`${path}: ${response.status} ${text}`);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // fetch throws this one when there is no answer
    }
    await new Promise(resolve => setTimeout(resolve, RETRY));
  }
}
