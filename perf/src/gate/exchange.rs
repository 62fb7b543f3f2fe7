//! One client that asks the server under callgrind, each thing in its turn, so that every run does the same.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::callgrind::Callgrind;
use crate::streams::{self, Identity};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// A function that shards alone execute. Of the first thread, TLS takes as many instructions as it likes: it gathers
/// randomness from how long they take.
const SHARD: &str = "anygate_serve::door::Door";
/// Longest wait for the shard to come to rest, and how often that is looked at.
const REST: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_micros(200);

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, by prior knowledge.
    H2c,
    /// HTTP/2 over TLS.
    H2,
}

/// What the client does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk {
    /// What is asked for.
    pub(crate) path: &'static str,
    /// Bytes of the body that comes.
    pub(crate) body: usize,
    /// Requests in a packet; in HTTP/2, each on a stream of its own.
    pub(crate) depth: usize,
    /// What is spoken; in HTTP/2, `/` alone is asked for, on one connection.
    pub(crate) speech: Speech,
    /// A connection each.
    pub(crate) close: bool,
}

/// What the server's shard executed for so many packets of requests, and to start and stop.
pub(crate) fn count(callgrind: &Callgrind, name: &str, talk: &Talk, times: u64) -> Result<u64, String> {
    let files = callgrind.folder().join("site");
    fs::create_dir_all(&files).map_err(|error| format!("{}: {error}", files.display()))?;
    for (file, length) in [("1k", 1 << 10), ("100k", 100 << 10)] {
        fs::write(files.join(file), vec![b'x'; length]).map_err(|error| format!("{file}: {error}"))?;
    }
    let behind = behind()?;
    let mut command = callgrind.command(name, &callgrind.anygate)?;
    let core = anygate_shard::cores::allowed().ok().and_then(|cores| cores.first().copied()).unwrap_or(0);
    command.args(["serve", "--io", "epoll", "--cores", &core.to_string()]);
    let identity = (talk.speech == Speech::H2).then(|| Identity::new(callgrind.folder())).transpose()?;
    if let Some(Identity { certificate, key, .. }) = &identity {
        let file = callgrind.folder().join("gate.yml");
        let text = format!(
            "server: {{listen: [{{addr: \"127.0.0.1:0\", tls: true}}]}}\n\
             tls: {{certificates: [{{cert: {}, key: {}}}]}}\nroutes: {{/: OK}}\n",
            certificate.display(),
            key.display()
        );
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        command.arg("-c").arg(file);
    } else {
        command.args(["--listen", "127.0.0.1:0", "-r", "/: OK"]);
        command.arg("-r").arg(format!("/files/: {}/", files.display()));
        command.arg("-r").arg(format!("/behind/: http://{behind}/"));
    }
    let log = callgrind.folder().join("log");
    let mut server = Server::start(command, &log)?;
    let shard = Shard::of(server.child.id());
    let asked = match talk.speech {
        Speech::Http1 => ask(server.address, talk, times, shard.as_ref()),
        Speech::H2c | Speech::H2 => streams::ask(server.address, talk, times, identity.as_ref()),
    };
    server.stop()?;
    asked.map_err(|why| format!("{why}\n{}", fs::read_to_string(&log).unwrap_or_default()))?;
    callgrind.counted(name, SHARD)
}

/// Asks so often, and reads what comes. Where each request has its connection, the shard sees one thing at a time: it would
/// otherwise see two at once, or not, as it happens.
fn ask(address: SocketAddr, talk: &Talk, times: u64, shard: Option<&Shard>) -> Result<(), String> {
    let slept = || shard.map(Shard::slept);
    let rest = |since: Option<u64>| match (shard, since, talk.close) {
        (Some(shard), Some(since), true) => shard.rest(since),
        _ => Ok(()),
    };
    let close = if talk.close { "Connection: close\r\n" } else { "" };
    let packet = format!("GET {} HTTP/1.1\r\nHost: {address}\r\n{close}\r\n", talk.path).repeat(talk.depth);
    let mut buffer = vec![0; 256 << 10];
    let mut kept: Option<TcpStream> = None;
    for _ in 0..times {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => {
                let since = slept();
                let stream = connect(address)?;
                rest(since)?;
                stream
            }
        };
        let since = if talk.close { slept() } else { None };
        let said = |error: std::io::Error| format!("asking: {error}");
        stream.write_all(packet.as_bytes()).map_err(said)?;
        let mut left = talk.depth;
        let mut have = 0;
        while left > 0 {
            let read = stream.read(&mut buffer[have..]).map_err(said)?;
            if read == 0 {
                return Err("the connection ended before its answer".into());
            }
            have += read;
            while left > 0
                && let Some(length) = answer(&buffer[..have], talk.body)?
            {
                buffer.copy_within(length..have, 0);
                have -= length;
                left -= 1;
            }
        }
        if talk.close {
            while stream.read(&mut buffer).map_err(said)? > 0 {}
            // The server has forgotten the connection by now: it hears nothing of the client's own end.
            rest(since)?;
        } else {
            kept = Some(stream);
        }
    }
    Ok(())
}

pub(crate) fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).map_err(|error| format!("connecting: {error}"))?;
    stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(PATIENCE))).map_err(|e| e.to_string())?;
    Ok(stream)
}

/// The thread of the server's one shard, as /proc shows it.
struct Shard(PathBuf);

impl Shard {
    fn of(process: u32) -> Option<Self> {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).ok()?;
        let mut paths = tasks.filter_map(|entry| Some(entry.ok()?.path()));
        let is_shard =
            |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "shard-0");
        paths.find(is_shard).map(Self)
    }

    /// How often it went to sleep.
    fn slept(&self) -> u64 {
        let status = fs::read_to_string(self.0.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Waits until it has gone to sleep since then, waiting for events.
    fn rest(&self, since: u64) -> Result<(), String> {
        for _ in 0..REST.as_micros() / LOOK.as_micros() {
            // epoll_wait, epoll_pwait, epoll_pwait2.
            let call = fs::read_to_string(self.0.join("syscall")).unwrap_or_default();
            let waits = ["232 ", "281 ", "441 "].iter().any(|number| call.starts_with(number));
            if waits && self.slept() > since {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        Err("the shard does not come to rest after each step of a connection, as this count expects".into())
    }
}

/// The length of the answer at the start of `bytes` once it is whole; it must be a 200 with that body.
fn answer(bytes: &[u8], body: usize) -> Result<Option<usize>, String> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    if !bytes.starts_with(b"HTTP/1.1 200 ") {
        return Err(format!("it answered {}", String::from_utf8_lossy(&bytes[..end])));
    }
    let length = end + 4 + body;
    Ok((bytes.len() >= length).then_some(length))
}

/// A server behind that answers 200 without a body, until this process ends.
fn behind() -> Result<SocketAddr, String> {
    let said = |error: std::io::Error| format!("a server behind: {error}");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(said)?;
    let address = listener.local_addr().map_err(said)?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve_behind(stream));
        }
    });
    Ok(address)
}

fn serve_behind(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        head.extend_from_slice(&buffer[..read]);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    }
}

/// The server, running under callgrind.
struct Server {
    child: Child,
    /// Kept open: it would not like to write to nobody.
    _out: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Server {
    fn start(mut command: Command, log: &Path) -> Result<Self, String> {
        let file = fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).spawn();
        let mut child = child.map_err(|error| format!("valgrind: {error}"))?;
        let mut out = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut said = String::new();
        while !said.contains("\n  rules ") {
            if out.read_line(&mut said).map_err(|error| format!("its first words: {error}"))? == 0 {
                let status = child.wait().map_err(|error| error.to_string())?;
                return Err(format!("it did not start: {status}\n{}", fs::read_to_string(log).unwrap_or_default()));
            }
        }
        let place =
            |line: &str| line.trim().strip_prefix("listening  http")?.trim_start_matches(['s', ':', '/']).parse().ok();
        let address = said.lines().find_map(place);
        let address = address.ok_or_else(|| format!("it does not say where it listens: {said}"));
        Ok(Self { child, _out: out, address: address? })
    }

    /// Tells it to stop and waits until callgrind has written what it counted.
    fn stop(&mut self) -> Result<(), String> {
        // The shell's own `kill`: the program is not everywhere.
        let kill = format!("kill -s TERM {}", self.child.id());
        let told = Command::new("sh").args(["-c", &kill]).status().map_err(|error| format!("sh: {error}"))?;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if told.success() && status.success() { Ok(()) } else { Err(format!("it ended with {status}")) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_body_and_must_be_a_200() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 ";
        assert_eq!(answer(&text[..30], 3), Ok(None));
        assert_eq!(answer(&text[..40], 3), Ok(None));
        assert_eq!(answer(text, 3), Ok(Some(41)));
        assert!(answer(b"HTTP/1.1 404 Not Found\r\n\r\n", 0).is_err());
    }

    #[test]
    fn the_client_asks_and_the_server_behind_answers() {
        let address = behind().expect("a port is free");
        let talk = Talk { path: "/", body: 0, depth: 1, close: false, speech: Speech::Http1 };
        ask(address, &talk, 5, None).expect("it answers");
    }
}
