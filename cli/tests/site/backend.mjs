// The server behind the app: a little JSON, and a WebSocket that sends texts back. Plain node, no packages.
// Prints its port, and ends with its standard input.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

const PIXEL = Buffer.from('R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==', 'base64');
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const visits = new Map();

/** A promise for each visit of the app, and how to keep it. */
function visit(id) {
  if (!visits.has(id)) {
    let complete;
    const completed = new Promise((resolve) => (complete = resolve));
    visits.set(id, { completed, complete });
  }
  return visits.get(id);
}

function send(response, status, value) {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(value));
}

const server = createServer(async (request, response) => {
  const [, api, what, id] = request.url.split('/');
  if (api !== 'api') return send(response, 404, { error: 'not here' });
  switch (`${request.method} ${what}`) {
    case 'GET users': {
      const { host, 'x-forwarded-for': forwarded } = request.headers;
      return send(response, 200, { name: `User ${id}`, host, forwarded });
    }
    case 'POST mirror':
      response.writeHead(200, { 'Content-Type': request.headers['content-type'] ?? 'text/plain' });
      return request.pipe(response);
    case 'GET picture':
      await visit(id).completed;
      response.writeHead(200, { 'Content-Type': 'image/gif', 'Content-Length': PIXEL.length });
      return response.end(PIXEL);
    case 'POST complete':
      visit(id).complete();
      response.writeHead(204);
      return response.end();
    default:
      return send(response, 404, { error: 'not here' });
  }
});

/** One frame (RFC 6455 §5.2), unmasked as a server's are. */
function frame(opcode, payload) {
  const head = Buffer.alloc(payload.length < 126 ? 2 : payload.length < 65536 ? 4 : 10);
  head[0] = 0x80 | opcode;
  if (head.length === 2) head[1] = payload.length;
  else if (head.length === 4) (head[1] = 126), head.writeUInt16BE(payload.length, 2);
  else (head[1] = 127), head.writeBigUInt64BE(BigInt(payload.length), 2);
  return Buffer.concat([head, payload]);
}

/** The first frame of what was received, and how long it is; nothing when it is not whole yet. */
function parse(bytes) {
  if (bytes.length < 2) return;
  let length = bytes[1] & 0x7f;
  let at = 2;
  if (length >= 126) {
    at = length === 126 ? 4 : 10;
    if (bytes.length < at) return;
    length = at === 4 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  }
  const end = at + 4 + length;
  if (bytes.length < end) return;
  const mask = bytes.subarray(at, at + 4);
  const payload = Buffer.from(bytes.subarray(at + 4, end)).map((byte, n) => byte ^ mask[n % 4]);
  return { fin: bytes[0] >> 7, opcode: bytes[0] & 0x0f, payload, end };
}

server.on('upgrade', (request, socket, first) => {
  if (request.url !== '/ws') return socket.destroy();
  const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + GUID).digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  let held = first;
  let message = [];
  socket.on('error', () => {});
  socket.on('data', (bytes) => {
    held = Buffer.concat([held, bytes]);
    for (let next = parse(held); next; next = parse(held)) {
      held = held.subarray(next.end);
      if (next.opcode === 8) {
        socket.end(frame(8, next.payload));
      } else if (next.opcode === 9) {
        socket.write(frame(10, next.payload));
      } else if (next.opcode < 3) {
        message.push(next.payload);
        if (next.fin) {
          socket.write(frame(1, Buffer.concat(message)));
          message = [];
        }
      }
    }
  });
});

server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit()).resume();
