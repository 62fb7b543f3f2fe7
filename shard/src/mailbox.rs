//! How other threads speak to a shard: a bounded channel that wakes it.

use std::fmt;
use std::sync::Arc;

use crate::bell::{Bell, Rope};

/// The sending end. Sending never blocks.
pub struct Sender<M> {
    channel: crossbeam_channel::Sender<M>,
    rope: Arc<Rope>,
}

/// The shard's end, which [`Shard::run`](crate::Shard::run) reads.
pub struct Receiver<M> {
    channel: crossbeam_channel::Receiver<M>,
    rope: Arc<Rope>,
}

/// A mailbox with room for `capacity` messages.
pub fn channel<M>(capacity: usize) -> (Sender<M>, Receiver<M>) {
    let (sender, receiver) = crossbeam_channel::bounded(capacity);
    let rope = Arc::new(Rope::default());
    (Sender { channel: sender, rope: Arc::clone(&rope) }, Receiver { channel: receiver, rope })
}

impl<M> Sender<M> {
    /// Puts a message in and wakes the shard.
    ///
    /// # Errors
    /// The message, when the mailbox is full or the shard is gone.
    pub fn send(&self, message: M) -> Result<(), M> {
        self.channel.try_send(message).map_err(crossbeam_channel::TrySendError::into_inner)?;
        self.rope.pull();
        Ok(())
    }
}

impl<M> Clone for Sender<M> {
    fn clone(&self) -> Self {
        Sender { channel: self.channel.clone(), rope: Arc::clone(&self.rope) }
    }
}

impl<M> Receiver<M> {
    /// The next message, if one waits. For threads that are no shard; a shard's turn takes its own.
    pub fn try_recv(&self) -> Option<M> {
        self.take()
    }

    /// Binds the mailbox to a shard, on its first turn.
    pub(crate) fn bind(&self, bell: &Arc<Bell>) {
        self.rope.hang(bell);
    }

    pub(crate) fn take(&self) -> Option<M> {
        self.channel.try_recv().ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.channel.is_empty()
    }
}

impl<M> fmt::Debug for Sender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("waiting", &self.channel.len()).finish()
    }
}

impl<M> fmt::Debug for Receiver<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("waiting", &self.channel.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_mailbox_gives_the_message_back_and_an_early_one_is_heard() {
        let (sender, receiver) = channel(1);
        assert_eq!(sender.send(1), Ok(()));
        assert_eq!(sender.send(2), Err(2));
        let bell = Bell::register(None).unwrap();
        receiver.bind(&bell);
        assert!(bell.take_rung());
        assert_eq!(receiver.take(), Some(1));
        assert!(receiver.is_empty());
        sender.send(3).unwrap();
        assert!(bell.take_rung());
        bell.unregister();
    }
}
