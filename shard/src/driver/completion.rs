//! What becomes of an operation that was started and has completed? The same for every driver that starts operations.
//!
//! A driver clears what it alone keeps (its own queues and buffers) and hands over the result as the kernel has it: bytes,
//! 0, or a negated error number.

use crate::arena::Class;
use crate::lease::Lease;
use crate::receive::hold;
use crate::shard::Inner;
use crate::socket::{Side, Slot, flag};

use super::Happened;

/// A receive completed, for good unless `more` says that it goes on. `used_up` is asked when there was no buffer: it gives
/// the class to wait for, or `None` when there is one by now.
pub(super) fn received(
    shard: &Inner,
    slot: &Slot,
    index: u32,
    result: i32,
    lease: Option<Lease>,
    (more, rest): (bool, bool),
    used_up: impl FnOnce() -> Option<Class>,
) {
    slot.clear(flag::READABLE);
    if rest {
        slot.set(flag::READABLE);
    }
    if !more {
        slot.clear(flag::READ_ARMED | flag::READ_REPEATS | flag::READ_CANCELLED);
    }
    let into = if slot.has(flag::READ_INTO) { slot.into.take() } else { None };
    slot.clear(flag::READ_INTO);
    if slot.has(flag::ZOMBIE) {
        return;
    }
    if slot.has(flag::CLOSING) {
        shard.stop_repeating(slot, index);
        match result {
            0 => slot.set(flag::ENDED),
            bytes if bytes > 0 => slot.tally.set(slot.tally.get().saturating_add(bytes as u32)),
            _ => {}
        }
        if !slot.has(flag::WRITE_ARMED) {
            shard.advance_close(slot, index);
        }
        return;
    }
    match (result, lease, into) {
        (0, _, into) => {
            slot.ended();
            match into {
                Some(into) if slot.has(flag::ENDED) => {
                    slot.set(flag::INTO_DONE);
                    hold(slot, into);
                }
                // Not the end but a failure that a send was told of: who waits for the lease is to hear it.
                into => slot.into.set(into),
            }
        }
        (1.., Some(mut lease), _) => {
            lease.advance(result as usize);
            slot.set(flag::USED);
            if slot.with_held(|held| held.is_some()) {
                // It comes faster than it is taken.
                shard.stop_repeating(slot, index);
            }
            hold(slot, lease);
        }
        (1.., None, Some(mut into)) => {
            into.advance(result as usize);
            slot.set(flag::INTO_DONE);
            hold(slot, into);
        }
        (1.., None, None) => unreachable!("a receive has a buffer"),
        (failed, _, into) => {
            // The wait goes on with this lease, or with one that waited for this receive to end.
            if into.is_some() {
                slot.into.set(into);
            }
            match -failed {
                libc::ENOBUFS => {
                    // Who waits may want no buffer: to splice, or to go on in a lease.
                    if let Some(class) = used_up() {
                        shard.starve(slot, slot.id(index), class);
                    }
                }
                // Asked to end, or interrupted: who still waits asks again.
                libc::ECANCELED | libc::EAGAIN | libc::EINTR => {}
                errno => slot.read_error.set(errno as u16),
            }
        }
    }
    shard.wake(slot.read_wake.take());
}

/// A send completed.
pub(super) fn sent(shard: &Inner, slot: &Slot, index: u32, result: i32) {
    slot.clear(flag::WRITE_ARMED | flag::WRITE_CANCELLED);
    slot.with_out(|out| {
        if let Some(out) = out {
            out.in_flight = 0;
            if let Ok(bytes) = usize::try_from(result) {
                out.sent(bytes);
            }
        }
    });
    if slot.has(flag::ZOMBIE) {
        return;
    }
    if result < 0 && !matches!(-result, libc::EAGAIN | libc::EINTR | libc::ECANCELED) {
        shard.send_failed(slot, (-result) as u16);
    }
    if slot.queued() > 0 {
        shard.sockets.mark_dirty(index);
    }
    shard.sent(slot, index);
}

/// A poll of a side completed. `mask` says how much of the generation `generation` carries.
pub(super) fn polled(shard: &Inner, slot: &Slot, index: u32, (generation, mask): (u32, u32), side: Side, result: i32) {
    match side {
        Side::Read => slot.clear(flag::READ_ARMED | flag::READ_POLLS | flag::READ_CANCELLED),
        Side::Write => slot.clear(flag::WRITE_ARMED | flag::WRITE_POLLS | flag::WRITE_CANCELLED),
    }
    if slot.has(flag::ZOMBIE) {
        return;
    }
    let failed = libc::POLLERR | libc::POLLHUP;
    let bits = if result < 0 { 0 } else { result as i16 };
    let hangup = bits & (failed | libc::POLLRDHUP) != 0;
    let (readable, writable) = match side {
        Side::Read => (result < 0 || bits & libc::POLLIN != 0 || hangup, false),
        Side::Write => (false, result < 0 || bits & (libc::POLLOUT | failed) != 0),
    };
    shard.event(index, generation, mask, Happened { readable, writable, hangup });
}
