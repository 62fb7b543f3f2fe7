// A small app: history routing, data from /api/, and a WebSocket.
import { match } from './router-e3b0c442.js';
import { talk } from './socket-2cf24dba.js';

const page = document.getElementById('page');

// The load event waits for this picture, and the backend sends it when the page says that it is complete: so a headless
// browser, which prints the page at that event, prints all of it.
const visit = crypto.getRandomValues(new Uint32Array(1))[0];
const picture = new Image();
picture.src = `/api/picture/${visit}`;
picture.hidden = true;
document.body.append(picture);

function show(entries) {
  page.replaceChildren(Object.assign(document.createElement('dl'), { id: 'facts' }));
  for (const [name, value] of Object.entries(entries)) {
    const term = Object.assign(document.createElement('dt'), { textContent: name });
    const fact = Object.assign(document.createElement('dd'), { id: name, textContent: value });
    page.firstChild.append(term, fact);
  }
}

async function json(url, options) {
  const response = await fetch(url, options);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.json();
}

async function user({ id }) {
  const posted = { id, note: 'grüße, 世界', list: Array.from({ length: 5000 }, (_, n) => n) };
  const body = JSON.stringify(posted);
  const headers = { 'Content-Type': 'application/json' };
  const [record, returned, missing, socket] = await Promise.all([
    json(`/api/users/${id}`),
    json('/api/mirror', { method: 'POST', body, headers }),
    fetch('/api/missing'),
    talk([`hello from ${id}`, 'grüße, 世界', 'x'.repeat(100_000)]),
  ]);
  return {
    name: record.name,
    host: record.host,
    forwarded: record.forwarded,
    mirror: JSON.stringify(returned) === body ? 'the same' : 'different',
    missing: missing.status,
    echo: socket.answers.slice(0, 2).join(' | '),
    'long-echo': socket.answers[2].length,
    closed: socket.code,
  };
}

async function render() {
  const { name, params } = match(location.pathname);
  const facts = name === 'user' ? await user(params) : {};
  show({ route: name, path: location.pathname, query: location.search, ...facts });
  page.dataset.state = 'complete';
}

function go(path) {
  history.pushState({}, '', path);
  return render();
}

document.querySelector('nav').addEventListener('click', (event) => {
  const link = event.target.closest('a');
  if (!link) return;
  event.preventDefault();
  go(link.getAttribute('href'));
});
addEventListener('popstate', render);

try {
  await render();
  // A visitor who clicks: no request for a page leaves the browser.
  const clicks = new URLSearchParams(location.search).get('click');
  if (clicks) document.querySelector(`nav a[href="${clicks}"]`).click();
} catch (error) {
  show({ failed: error.message });
  page.dataset.state = 'failed';
}
document.body.dataset.colour = getComputedStyle(document.querySelector('dt')).color;
await fetch(`/api/complete/${visit}`, { method: 'POST' });
