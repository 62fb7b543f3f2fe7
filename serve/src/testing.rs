//! Where can a test let one connection's work panic? Nothing of it is built into a server that people run.

use crate::server::Server;

/// A place in the server's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// A client's row took in what it received.
    Row,
    /// A request waits in its row for a server behind.
    Relay,
    /// A resting client's time is over.
    Expired,
    /// A task has read a request's head.
    Task,
    /// A filter looks at a request.
    Filter,
    /// A task has the answer's head, and its body is to be sent.
    Answer,
    /// A request was sent to a server behind by its task.
    Attempt,
    /// A tunnel moves bytes.
    Tunnel,
    /// A connection to a server behind that rests was heard of.
    Idle,
    /// A connection of HTTP/2 says what it has to say at a turn's end.
    Settle,
    /// A message of the control thread is acted on.
    Message,
    /// A turn of the shard has ended.
    Turn,
}

#[cfg(feature = "testing")]
static ARMED: std::sync::Mutex<Vec<(usize, Spot)>> = std::sync::Mutex::new(Vec::new());

/// Lets the server that counts in `cells` panic when it next comes to `spot`, once.
#[cfg(feature = "testing")]
pub fn panic_once(cells: &anygate_core::metrics::ShardCells, spot: Spot) {
    let mut armed = ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    armed.push((std::ptr::from_ref(cells).addr(), spot));
}

/// Panics where a test asked for it.
#[inline]
pub(crate) fn reached(server: &Server, spot: Spot) {
    #[cfg(feature = "testing")]
    {
        let mut armed = ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let here = (std::ptr::from_ref(&*server.cells).addr(), spot);
        if let Some(at) = armed.iter().position(|waiting| *waiting == here) {
            armed.swap_remove(at);
            drop(armed);
            panic!("at {spot:?}, as a test asked");
        }
    }
    let _ = (server, spot);
}
