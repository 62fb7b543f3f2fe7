//! Floors as commands: what runs when one is started as a process of its own.

use std::net::SocketAddr;

use anygate_shard::{Io, mailbox};
use clap::{Args, Subcommand, ValueEnum};

use super::{Floor, Origin, Relay};

/// Servers that are compared with, or stand behind.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Answer without reading, until told to stop
    Floor {
        /// Where it runs
        #[command(flatten)]
        place: Place,
        /// End each connection after its first answer
        #[arg(long)]
        close: bool,
    },
    /// Copy bytes to a server behind and back without reading them, until told to stop
    Relay {
        /// Where it runs
        #[command(flatten)]
        place: Place,
        /// The server behind
        #[arg(long, value_name = "ADDRESS")]
        to: SocketAddr,
    },
    /// Answer `/`, `/1k`, `/16k`, `/100k` and `/10m`, and take uploads, until told to stop
    Origin {
        /// Where it runs
        #[command(flatten)]
        place: Place,
    },
}

/// Where one runs.
#[derive(Clone, Copy, Debug, Args)]
pub struct Place {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The driver
    #[arg(long, default_value = "epoll")]
    pub io: Driver,
    /// The core it is pinned to
    #[arg(long)]
    pub core: Option<usize>,
}

/// A driver, as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// Readiness.
    Epoll,
    /// Completions.
    Uring,
}

impl From<Driver> for Io {
    fn from(driver: Driver) -> Self {
        match driver {
            Driver::Epoll => Io::Epoll,
            Driver::Uring => Io::Uring,
        }
    }
}

impl Command {
    /// Serves on the calling thread until the process ends; `listening` is told the address.
    ///
    /// # Errors
    /// The address, the core or the driver cannot be had.
    pub fn run(&self, listening: impl FnOnce(SocketAddr)) -> Result<(), String> {
        // Nobody sends; but a mailbox without a sender is no mailbox.
        let (_sender, mailbox) = mailbox::channel(1);
        match *self {
            Self::Floor { place: Place { listen, io, core }, close } => {
                Floor { listen, io: io.into(), core, close }.serve(&mailbox, listening)
            }
            Self::Relay { place: Place { listen, io, core }, to } => {
                Relay { listen, io: io.into(), core, to }.serve(&mailbox, listening)
            }
            Self::Origin { place: Place { listen, io, core } } => {
                Origin { listen, io: io.into(), core }.serve(&mailbox, listening)
            }
        }
    }
}
