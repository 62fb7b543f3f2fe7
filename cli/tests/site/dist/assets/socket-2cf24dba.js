// Sends texts over one WebSocket, each after the answer to the one before.
export function talk(texts) {
  return new Promise((done, fail) => {
    const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(`${scheme}//${location.host}/ws`);
    const answers = [];
    socket.onopen = () => socket.send(texts[0]);
    socket.onmessage = ({ data }) => {
      answers.push(data);
      if (answers.length < texts.length) socket.send(texts[answers.length]);
      else socket.close(1000, 'done');
    };
    socket.onerror = () => fail(new Error('the socket failed'));
    socket.onclose = ({ code }) => done({ answers, code });
  });
}
