/**
 * The model that answers. MODEL names a real one, as provider/name (it needs the
 * AI_GATEWAY_API_KEY of the AI SDK's gateway). Without it, a scripted one answers, which
 * needs no network; with MODEL=stdin you are the model: each line of the terminal is a
 * word, an empty one ends the answer.
 */

import { createInterface } from 'node:readline';

const { MODEL } = process.env;

export const model = MODEL && MODEL !== 'stdin' ? MODEL : scripted(MODEL ? typed() : spoken);

async function* spoken() {
  const text =
    'This answer is not from a model, but it comes as slowly as from one. Load the page again while it is ' +
    'being written, or stop the push server and start it again: it goes on, and no word is missing or doubled. ' +
    'Each word was a message of a channel, and the channel ends with the answer.';
  for (const word of text.split(' ')) {
    yield word;
    await new Promise(resolve => setTimeout(resolve, 200));
  }
}

function typed() {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  return async function* () {
    for (;;) {
      const { value, done } = await lines.next();
      if (done || !value) return;
      yield value;
    }
  };
}

function scripted(words) {
  const count = { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined };
  const end = {
    type: 'finish',
    finishReason: { unified: 'stop', raw: undefined },
    usage: { inputTokens: count, outputTokens: { total: undefined, text: undefined, reasoning: undefined } },
  };
  async function* parts() {
    yield { type: 'stream-start', warnings: [] };
    yield { type: 'text-start', id: '1' };
    for await (const word of words()) yield { type: 'text-delta', id: '1', delta: word + ' ' };
    yield { type: 'text-end', id: '1' };
    yield end;
  }
  return {
    specificationVersion: 'v3',
    provider: 'scripted',
    modelId: 'scripted',
    supportedUrls: {},
    doStream: async () => ({ stream: ReadableStream.from(parts()) }),
  };
}
