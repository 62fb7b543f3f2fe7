//! The running shards, seen from the control thread, and the orders they get: never waited for, never lost.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anygate_core::metrics::ShardCells;
use anygate_shard::mailbox::Sender;

use super::{Control, Order};

/// How soon an order is tried again that found its shard's mailbox full.
const AGAIN: Duration = Duration::from_millis(5);

/// A running shard.
#[derive(Debug)]
pub struct ShardHandle {
    pub(super) orders: Sender<Order>,
    pub(super) thread: Option<JoinHandle<()>>,
    pub(super) cells: Arc<ShardCells>,
    /// The table it said it serves new requests by; 0 until it took one over.
    pub(super) installed: u64,
    /// Orders that found the mailbox full, in their order.
    waiting: VecDeque<Order>,
}

impl ShardHandle {
    /// A shard that reads `orders` and counts in `cells`; without a `thread` where another one gives it its turns.
    #[must_use]
    pub fn new(orders: Sender<Order>, thread: Option<JoinHandle<()>>, cells: Arc<ShardCells>) -> Self {
        Self { orders, thread, cells, installed: 0, waiting: VecDeque::new() }
    }

    /// Sends an order behind those that wait.
    fn order(&mut self, order: Order) {
        self.waiting.push_back(order);
        self.flush();
    }

    /// Sends what waits, as far as there is room.
    fn flush(&mut self) {
        while let Some(order) = self.waiting.pop_front() {
            if let Err(order) = self.orders.send(order) {
                return self.waiting.push_front(order);
            }
        }
    }

    /// Waits for the thread's end; false when it panicked. The order to stop may still be waiting for room.
    pub(super) fn join(&mut self) -> bool {
        while !self.waiting.is_empty() && self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            self.flush();
            std::thread::sleep(AGAIN);
        }
        self.thread.take().is_none_or(|thread| thread.join().is_ok())
    }
}

impl Control {
    /// Sends every shard its order.
    pub(super) fn order_all(self: &Rc<Self>, mut order: impl FnMut(usize) -> Order) {
        for (number, shard) in self.state.borrow_mut().shards.iter_mut().enumerate() {
            shard.order(order(number));
        }
        self.flush_orders();
    }

    /// Tries again what waits, until nothing does. One such task runs at a time.
    fn flush_orders(self: &Rc<Self>) {
        if !self.orders_wait() || self.flushing.replace(true) {
            return;
        }
        let control = Rc::clone(self);
        self.shard.spawn(async move {
            while control.orders_wait() {
                control.shard.sleep(AGAIN).await;
                control.state.borrow_mut().shards.iter_mut().for_each(ShardHandle::flush);
            }
            control.flushing.set(false);
        });
    }

    fn orders_wait(&self) -> bool {
        self.state.borrow().shards.iter().any(|shard| !shard.waiting.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anygate_shard::mailbox;

    #[test]
    fn an_order_that_finds_the_mailbox_full_waits_in_its_place() {
        let (orders, mailbox) = mailbox::channel(1);
        let mut shard = ShardHandle::new(orders, Some(std::thread::spawn(|| {})), Arc::new(ShardCells::new()));
        for number in 0..3 {
            shard.order(Order::Unlisten { number });
        }
        let mut seen = Vec::new();
        while let Some(order) = mailbox.try_recv() {
            if let Order::Unlisten { number } = order {
                seen.push(number);
            }
            shard.flush();
        }
        assert_eq!(seen, [0, 1, 2]);
        assert!(shard.join());
    }
}
