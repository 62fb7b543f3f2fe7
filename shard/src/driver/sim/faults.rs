//! Which faults may a network have, and how often? Rates, each switched off for about half of the seeds.

use super::choice::{Choices, Kind};

/// How often each fault happens, in thousandths of the operations it can strike. 0 switches a fault off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A receive gives fewer bytes than there are.
    pub partial_read: u16,
    /// A send takes fewer bytes than there is room for.
    pub partial_write: u16,
    /// Bytes or an event arrive up to 50 ms late instead of within 0.1 ms.
    pub late: u16,
    /// What was sent at once arrives in several pieces at different times.
    pub drip: u16,
    /// A call that could go on says `EAGAIN`; its event comes later.
    pub again: u16,
    /// As `again`, and so does every call on that connection for up to 5 ms, each with an event that was for nothing.
    pub storm: u16,
    /// The events of one turn come in another order than they happened.
    pub reorder: u16,
    /// A receive finds no buffer although there is one.
    pub no_buffer: u16,
    /// As `no_buffer`, and so does every receive of that shard for up to 20 ms.
    pub drought: u16,
    /// A connection has room for a few KiB under way instead of 256 KiB.
    pub small_window: u16,
    /// Completion personality: a cancelled operation comes to its ordinary end first, or the cancel finds nothing.
    pub cancel_late: u16,
    /// Completion personality: the queue takes no operation and no cancel for up to 5 ms; they keep their order.
    pub full_queue: u16,
    /// Completion personality: a repeating receive ends with a completion that brought bytes.
    pub repeat_ends: u16,
    /// A turn has time for one to four rows and tasks each.
    pub short_turn: u16,
    /// Helper jobs take up to 200 ms instead of one turn.
    pub slow_job: u16,
    /// A file, or its name, is not in memory.
    pub cold_file: u16,
    /// An accept fails with `EMFILE`.
    pub no_descriptor: u16,

    /// A connection is reset at an operation.
    pub reset: u16,
    /// A connection is reset by its network after up to 64 KiB in one direction, in the midst of a send.
    pub cut: u16,
    /// The end that connected closes its half of the connection after up to 16 KiB, in the midst of a send: the sender
    /// hears EPIPE and still receives.
    pub half_close: u16,
    /// A connection is reset before anybody accepted it: `ECONNABORTED` for who accepts.
    pub aborted: u16,
    /// A new connection, or a pipe, fails with `EMFILE`.
    pub no_socket: u16,
    /// A new connection is refused although somebody listens.
    pub refused: u16,
    /// A new connection is never answered: `ETIMEDOUT` after 127 s.
    pub unanswered: u16,
    /// A listener has room for a handful of connections that wait; others try again after 1 s, 2 s, 4 s ...
    pub small_backlog: u16,
    /// What was sent at once arrives in up to 16 pieces over up to 3 s.
    pub trickle: u16,
    /// The clock jumps ahead by up to 5 s when it moves.
    pub clock_jump: u16,
    /// The wall clock is set, up to an hour to and fro, when the clock moves.
    pub wall_clock: u16,
    /// A helper job is dropped because its line is full.
    pub lost_job: u16,
}

impl Faults {
    /// A friendly network: everything is whole, in order, at once.
    pub const fn none() -> Faults {
        Faults {
            partial_read: 0,
            partial_write: 0,
            late: 0,
            drip: 0,
            again: 0,
            storm: 0,
            reorder: 0,
            no_buffer: 0,
            drought: 0,
            small_window: 0,
            cancel_late: 0,
            full_queue: 0,
            repeat_ends: 0,
            short_turn: 0,
            slow_job: 0,
            cold_file: 0,
            no_descriptor: 0,
            reset: 0,
            cut: 0,
            half_close: 0,
            aborted: 0,
            no_socket: 0,
            refused: 0,
            unanswered: 0,
            small_backlog: 0,
            trickle: 0,
            clock_jump: 0,
            wall_clock: 0,
            lost_job: 0,
        }
    }

    /// Faults that cost no connection: each switched on by half of the seeds, some rare and some frequent.
    pub fn without_losses(seed: u64) -> Faults {
        let rate = |fault, most| rate(seed, 0, fault, most);
        Faults {
            partial_read: rate(1, 700),
            partial_write: rate(2, 700),
            late: rate(3, 300),
            drip: rate(4, 500),
            again: rate(5, 400),
            reorder: rate(6, 900),
            no_buffer: rate(9, 300),
            small_window: rate(10, 600),
            cancel_late: rate(11, 700),
            slow_job: rate(12, 500),
            storm: rate(13, 60),
            drought: rate(14, 20),
            full_queue: rate(15, 60),
            repeat_ends: rate(16, 400),
            short_turn: rate(17, 900),
            cold_file: rate(18, 500),
            ..Faults::none()
        }
    }

    /// Every fault there is: as [`Faults::without_losses`], with those that cost connections or time by half of the seeds
    /// each.
    pub fn all(seed: u64) -> Faults {
        let rate = |fault, most| rate(seed, 1, fault, most);
        Faults {
            reset: rate(1, 20),
            no_descriptor: rate(2, 300),
            clock_jump: rate(3, 10),
            cut: rate(4, 150),
            half_close: rate(5, 100),
            aborted: rate(6, 60),
            no_socket: rate(7, 60),
            refused: rate(8, 60),
            unanswered: rate(9, 30),
            small_backlog: rate(10, 700),
            trickle: rate(11, 40),
            wall_clock: rate(12, 10),
            lost_job: rate(13, 60),
            ..Faults::without_losses(seed)
        }
    }
}

/// A fault's rate: 0 for half of the seeds, else up to `most`.
fn rate(seed: u64, group: u64, fault: u64, most: u64) -> u16 {
    let word = Choices { seed }.word(Kind::Setup, group, fault);
    if word & 1 == 0 { 0 } else { u16::try_from(1 + (word >> 8) % most).expect("at most 1000") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_off_for_some_seeds_and_on_for_others() {
        let all: Vec<_> = (0..64).map(Faults::all).collect();
        for rate in [
            |f: &Faults| f.partial_read,
            |f: &Faults| f.late,
            |f: &Faults| f.again,
            |f: &Faults| f.storm,
            |f: &Faults| f.full_queue,
            |f: &Faults| f.reset,
            |f: &Faults| f.cut,
            |f: &Faults| f.no_descriptor,
        ] {
            let off = all.iter().filter(|faults| rate(faults) == 0).count();
            assert!((10..54).contains(&off), "off for {off} of 64");
        }
        assert_eq!(Faults::none(), Faults::default());
    }
}
