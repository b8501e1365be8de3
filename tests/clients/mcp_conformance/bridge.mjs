// Plain HTTP in, the gateway's TLS out, with a token added: the conformance suite can do neither. Everything else is passed on
// as it came, `Host` and `Origin` too.
//
//   bridge.mjs PORT GATEWAY_PORT CA_FILE      (the token in TOKEN)
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

const [port, gateway, ca] = process.argv.slice(2);
const agent = new https.Agent({ ca: readFileSync(ca), keepAlive: true });
const server = http.createServer((asked, answer) => {
  const headers = { ...asked.headers, authorization: `Bearer ${process.env.TOKEN}` };
  const onward = https.request({
    host: '127.0.0.1', port: gateway, servername: 'localhost', agent, method: asked.method, path: asked.url, headers,
  }, (came) => {
    answer.writeHead(came.statusCode, came.headers);
    came.pipe(answer);
  });
  onward.on('error', () => answer.destroy());
  // Whoever leaves here leaves there.
  answer.on('close', () => onward.destroy());
  asked.pipe(onward);
});
server.listen(Number(port), '127.0.0.1', () => console.log('ready'));
