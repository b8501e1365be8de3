// A client of the Model Context Protocol as its npm library makes one; it talks as mcp_client.py does.
//
//   mcp_client.mjs PACKAGE_DIRECTORY URL auto|legacy      (the token in TOKEN)
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [directory, url, mode] = process.argv.slice(2);
const library = join(directory, 'node_modules', '@modelcontextprotocol', 'client', 'dist', 'index.mjs');
const { Client, StreamableHTTPClientTransport } = await import(pathToFileURL(library));
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const client = new Client({ name: 'npm-client', version: '1' }, { versionNegotiation: { mode } });
await client.connect(new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { authorization: `Bearer ${process.env.TOKEN}` } },
}));
say({ revision: client.getNegotiatedProtocolVersion() });
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  try {
    if (asked.list) {
      const { tools } = await client.listTools();
      say({ tools: Object.fromEntries(tools.map((tool) => [tool.name, tool.description])) });
    } else {
      const told = await client.callTool({ name: asked.tool, arguments: asked.arguments });
      const text = told.content.filter((part) => part.type === 'text').map((part) => part.text);
      say({ error: told.isError ?? false, structured: told.structuredContent, text });
    }
  } catch (error) {
    // What the library makes of a refusal is told as it is.
    say({ raised: `${error.name}: ${error.message}` });
  }
}
await client.close();
