// What the Node `openai` package makes of the proxy's answers, as JSON.
// node openai_node.mjs DIRECTORY_OF_THE_PACKAGE BASE_URL
import { createRequire } from "node:module";
import { join } from "node:path";

const [directory, baseURL] = process.argv.slice(2);
const { OpenAI } = createRequire(join(directory, "package.json"))("openai");
const ai = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });

const model = "small";
const tools = [{ type: "function", function: { name: "send", parameters: { type: "object" } } }];
const ask = (content, more = {}) => ({ model, messages: [{ role: "user", content }], ...more });
const told = ({ message, finish_reason }) => ({
  content: message.content,
  refusal: message.refusal ?? null,
  finish: finish_reason,
  calls: (message.tool_calls ?? []).map((call) => [call.function.name, call.function.arguments]),
});

async function whole(content, more) {
  const answer = await ai.chat.completions.create(ask(content, more));
  return told(answer.choices[0]);
}

async function streamed(content, more) {
  // The package's own helper puts the chunks together, and is strict about them.
  const stream = ai.chat.completions.stream(ask(content, more));
  let text = "";
  stream.on("content", (delta) => { text += delta; });
  const answer = await stream.finalChatCompletion();
  return { ...told(answer.choices[0]), text };
}

const result = {};
for (const [name, run] of [["whole", whole], ["streamed", streamed]]) {
  result[name] = {
    chat: await run("What is a stair?"),
    tools: await run("Tell Ann.", { tools }),
    blockedRequest: await run("Please say xyzzy."),
    blockedAnswer: await run("What is the magic word?"),
  };
}
const page = await ai.models.list();
result.models = page.data.map((entry) => entry.id);
try {
  await ai.embeddings.create({ model, input: "xyzzy" });
} catch (error) {
  result.blockedEmbedding = { status: error.status, code: error.code, kind: error.constructor.name };
}
console.log(JSON.stringify(result));
