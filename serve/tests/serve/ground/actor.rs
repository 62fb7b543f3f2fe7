//! How does a server behind, which is code that blocks on a thread, serve a simulated connection?
//!
//! Each call goes to the thread of the simulation as an errand, and its thread waits for the reply. The simulation goes on
//! when everybody waits for what only the network or time can bring: so a run is always the same.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anygate_shard::sim::Peer;
use anygate_shard::testing::reset;

/// What a server behind does with a connection.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// A connection as a server behind has it.
pub(crate) trait Duplex: Read + Write + Send {
    /// Lets time pass.
    fn pause(&mut self, time: Duration);

    /// Sends the end of the stream.
    ///
    /// # Errors
    /// It is not connected any more.
    fn fin(&mut self) -> io::Result<()>;

    /// Has the connection end in a reset when it is dropped.
    fn reset(&mut self);
}

impl Duplex for TcpStream {
    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn fin(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn reset(&mut self) {
        reset(self);
    }
}

/// What is asked of the simulation.
enum Errand {
    /// At most so many bytes.
    Read(usize),
    /// All of these.
    Write(Vec<u8>),
    Pause(Duration),
    Fin,
    Reset,
}

/// The thread's side.
struct Remote {
    errands: Sender<Errand>,
    replies: Receiver<io::Result<Vec<u8>>>,
}

impl Remote {
    fn ask(&self, errand: Errand) -> io::Result<Vec<u8>> {
        let gone = || io::Error::from(ErrorKind::NotConnected);
        self.errands.send(errand).map_err(|_| gone())?;
        self.replies.recv().map_err(|_| gone())?
    }
}

impl Read for Remote {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let came = self.ask(Errand::Read(into.len()))?;
        into[..came.len()].copy_from_slice(&came);
        Ok(came.len())
    }
}

impl Write for Remote {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.ask(Errand::Write(bytes.to_vec()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Duplex for Remote {
    fn pause(&mut self, time: Duration) {
        let _ = self.ask(Errand::Pause(time));
    }

    fn fin(&mut self) -> io::Result<()> {
        self.ask(Errand::Fin).map(drop)
    }

    fn reset(&mut self) {
        let _ = self.ask(Errand::Reset);
    }
}

/// The simulation's side of a connection.
pub(super) struct Actor {
    peer: Peer,
    errands: Receiver<Errand>,
    replies: Sender<io::Result<Vec<u8>>>,
    /// What cannot be done yet.
    waiting: Option<Errand>,
    /// Until when its thread wants nothing, in nanoseconds.
    pub(super) pauses: Option<u64>,
    resets: bool,
}

impl Actor {
    /// Begins to serve a connection.
    pub(super) fn begin(peer: Peer, accept: impl FnOnce(Box<dyn Duplex>) -> Job) -> Self {
        let (errands, its_errands) = channel();
        let (its_replies, replies) = channel();
        std::thread::spawn(accept(Box::new(Remote { errands, replies })));
        Self { peer, errands: its_errands, replies: its_replies, waiting: None, pauses: None, resets: false }
    }

    /// Does all that can be done at this time; `None`: its thread has let go of it.
    pub(super) fn serve(mut self, now: u64) -> Option<Self> {
        loop {
            // Its thread is at work until it asks for something, or ends.
            let Some(errand) = self.waiting.take().or_else(|| self.errands.recv().ok()) else {
                if self.resets {
                    self.peer.reset();
                }
                return None;
            };
            let reply = match errand {
                Errand::Read(most) => {
                    let mut bytes = vec![0; most];
                    match self.peer.read(&mut bytes) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            self.waiting = Some(Errand::Read(most));
                            return Some(self);
                        }
                        read => read.map(|count| bytes[..count].to_vec()),
                    }
                }
                Errand::Write(bytes) => match self.peer.write(&bytes) {
                    Ok(count) if count == bytes.len() => Ok(Vec::new()),
                    Ok(count) => {
                        self.waiting = Some(Errand::Write(bytes[count..].to_vec()));
                        continue;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.waiting = Some(Errand::Write(bytes));
                        return Some(self);
                    }
                    Err(error) => Err(error),
                },
                Errand::Pause(time) => {
                    let until = *self.pauses.get_or_insert(now + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
                    if now < until {
                        self.waiting = Some(Errand::Pause(time));
                        return Some(self);
                    }
                    self.pauses = None;
                    Ok(Vec::new())
                }
                Errand::Fin => {
                    self.peer.shutdown();
                    Ok(Vec::new())
                }
                Errand::Reset => {
                    self.resets = true;
                    Ok(Vec::new())
                }
            };
            // Who is gone by now is seen by the next look at its errands.
            let _ = self.replies.send(reply);
        }
    }
}
