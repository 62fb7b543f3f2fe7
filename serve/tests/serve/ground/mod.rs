//! Where does a gate of a table stand: on the kernel's network by one of its drivers, or on a simulated one?
//!
//! What a table says is the same everywhere. On the simulated network clients and servers behind are what they are on the
//! kernel's: code that blocks. The clock is virtual there, so that waiting costs nothing.

mod actor;
mod simulated;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anygate_core::metrics::ShardCells;
use anygate_serve::plan::Plan;
use anygate_shard::sim::Personality;
use anygate_shard::{Io, ShardCounters};
use rustls::ClientConfig;

use self::simulated::Simulated;
use crate::harness::{Gate, both};
use crate::pipe::{Carrier, Pipe};
use crate::simulated::BOTH;

pub(crate) use self::actor::{Duplex, Job};

/// What carries everybody's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// The kernel's loopback; the gate is driven by this.
    Kernel(Io),
    /// A simulated network that treats the gate so.
    Simulated(Personality),
}

/// Runs a test on io_uring, on epoll and on the simulation of either.
pub(crate) fn everywhere(test: impl Fn(Ground)) {
    both(|io| test(Ground::Kernel(io)));
    BOTH.into_iter().for_each(|personality| test(Ground::Simulated(personality)));
}

/// A network with gates and servers behind them. What is made on it must not outlive it.
#[derive(Clone)]
pub(crate) enum Field {
    Kernel(Io),
    Simulated(Rc<Simulated>),
}

impl Field {
    /// One where nobody is yet.
    pub(crate) fn new(ground: Ground) -> Self {
        match ground {
            Ground::Kernel(io) => Self::Kernel(io),
            Ground::Simulated(personality) => Self::Simulated(Rc::new(Simulated::new(personality))),
        }
    }

    /// Serves what was compiled.
    pub(crate) fn gate(&self, plan: Plan) -> Stand {
        match self {
            Self::Kernel(io) => Stand::Kernel(Gate::serve(*io, plan)),
            Self::Simulated(field) => {
                let (address, number) = field.gate(plan);
                Stand::Simulated { field: Rc::clone(field), address, number }
            }
        }
    }

    /// A server behind: what `accept` makes of a connection is done on a thread of its own.
    pub(crate) fn listen(&self, accept: impl Fn(Box<dyn Duplex>) -> Job + Send + 'static) -> SocketAddr {
        let Self::Simulated(field) = self else {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
            let address = listener.local_addr().expect("it is bound");
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let Ok(stream) = stream else { return };
                    stream.set_nodelay(true).expect("a socket option");
                    std::thread::spawn(accept(Box::new(stream)));
                }
            });
            return address;
        };
        field.listen(Box::new(accept))
    }

    /// Comes to a gate or a server behind; by TLS with these settings, where there are any.
    pub(crate) fn connect(&self, address: SocketAddr, settings: Option<Arc<ClientConfig>>) -> Box<dyn Carrier> {
        match self {
            Self::Kernel(_) => {
                let stream = TcpStream::connect(address).expect("somebody listens");
                stream.set_nodelay(true).expect("a socket option");
                Box::new(match settings {
                    None => Pipe::Plain(stream),
                    Some(settings) => Pipe::secured(stream, settings),
                })
            }
            Self::Simulated(field) => {
                let line = simulated::Line::connect(field, address);
                Box::new(match settings {
                    None => Pipe::Plain(line),
                    Some(settings) => Pipe::secured(line, settings),
                })
            }
        }
    }

    /// Waits until `fine`, or for `patience`; whether it is.
    pub(crate) fn until(&self, patience: Duration, mut fine: impl FnMut() -> bool) -> bool {
        let Self::Simulated(field) = self else {
            let until = Instant::now() + patience;
            while !fine() {
                if Instant::now() > until {
                    return false;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            return true;
        };
        field.until(patience, fine)
    }

    /// What gates still hold though everybody has gone, where that can be known.
    pub(crate) fn left(&self) -> Vec<String> {
        match self {
            Self::Kernel(_) => Vec::new(),
            Self::Simulated(field) => field.left(),
        }
    }

    /// Lets time pass.
    pub(crate) fn pause(&self, time: Duration) {
        match self {
            Self::Kernel(_) => std::thread::sleep(time),
            Self::Simulated(_) => {
                self.until(time, || false);
            }
        }
    }
}

/// A gate.
pub(crate) enum Stand {
    Kernel(Gate),
    Simulated { field: Rc<Simulated>, address: SocketAddr, number: usize },
}

impl Stand {
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Kernel(gate) => gate.address,
            Self::Simulated { address, .. } => *address,
        }
    }

    /// Connections that panicked.
    pub(crate) fn panics(&self) -> u64 {
        self.counts().0.panics.get()
    }

    /// What its server counts, and the shard below.
    pub(crate) fn counts(&self) -> (Arc<ShardCells>, Arc<ShardCounters>) {
        match self {
            Self::Kernel(gate) => (Arc::clone(&gate.cells), Arc::clone(&gate.counters)),
            Self::Simulated { field, number, .. } => field.counts(*number),
        }
    }
}
