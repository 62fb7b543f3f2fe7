//! Which tasks run next: futures of one shard, polled when their wakers say so.

use std::alloc::{self, Layout};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use crate::chunks::Chunks;
use crate::wake::{Entered, MAX_TASKS, TaskId, waker};

/// Freed task memory of one layout that is kept for the next task of that layout.
const KEPT_PER_LAYOUT: usize = 512;
/// Distinct layouts whose memory is kept.
const KEPT_LAYOUTS: usize = 64;

/// The tasks of one shard.
pub(crate) struct Tasks {
    instance: u16,
    slots: Chunks<Slot>,
    free: RefCell<Vec<u32>>,
    live: Cell<u32>,
    /// Tasks to poll in this turn.
    ready: RefCell<VecDeque<u32>>,
    /// Tasks that woke themselves while running: polled next turn, so that they starve nobody.
    later: RefCell<VecDeque<u32>>,
    kept: RefCell<Vec<(Layout, Vec<NonNull<u8>>)>>,
    /// Panics of futures while they were dropped, not yet asked for.
    drop_panics: Cell<u64>,
}

/// Drops what a panic carried, which may panic again, and that again. What goes on so is leaked.
pub(crate) fn discard(mut panic: Box<dyn Any + Send>) {
    for _ in 0..8 {
        match catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            Ok(()) => return,
            Err(again) => panic = again,
        }
    }
    std::mem::forget(panic);
}

#[derive(Default)]
struct Slot {
    generation: Cell<u32>,
    state: Cell<u8>,
    future: Cell<Option<NonNull<Header>>>,
}

const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const CANCELLED: u8 = 4;

/// What stands before a future in its allocation.
struct Header {
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Poll<()>,
    drop: unsafe fn(NonNull<Header>),
    layout: Layout,
}

#[repr(C)]
struct Boxed<F> {
    header: Header,
    future: F,
}

/// # Safety
/// `header` starts a live `Boxed<F>` that nobody else looks at.
unsafe fn poll_boxed<F: Future<Output = ()>>(header: NonNull<Header>, cx: &mut Context<'_>) -> Poll<()> {
    // SAFETY: `header` starts a live `Boxed<F>` (spawn paired the function with its type); the future is never moved
    // until it is dropped in place, and the executor polls it from one place at a time.
    unsafe { Pin::new_unchecked(&mut header.cast::<Boxed<F>>().as_mut().future).poll(cx) }
}

/// # Safety
/// As for [`poll_boxed`]; nobody looks at the future after it.
unsafe fn drop_boxed<F>(header: NonNull<Header>) {
    // SAFETY: as in `poll_boxed`; the executor calls this once and frees or reuses the memory after it.
    unsafe { (&raw mut (*header.cast::<Boxed<F>>().as_ptr()).future).drop_in_place() };
}

impl Tasks {
    pub(crate) fn new(instance: u16) -> Tasks {
        Tasks {
            instance,
            slots: Chunks::new(MAX_TASKS),
            free: RefCell::default(),
            live: Cell::new(0),
            ready: RefCell::default(),
            later: RefCell::default(),
            kept: RefCell::default(),
            drop_panics: Cell::new(0),
        }
    }

    /// Futures that panicked while they were dropped, since the last call.
    pub(crate) fn take_drop_panics(&self) -> u64 {
        self.drop_panics.take()
    }

    /// Tasks alive.
    pub(crate) fn live(&self) -> u32 {
        self.live.get()
    }

    pub(crate) fn spawn<F: Future<Output = ()> + 'static>(&self, future: F) -> TaskId {
        let layout = Layout::new::<Boxed<F>>();
        let memory = self.memory(layout).cast::<Boxed<F>>();
        let header = Header { poll: poll_boxed::<F>, drop: drop_boxed::<F>, layout };
        // SAFETY: `memory` has the layout of `Boxed<F>` and nobody else has it.
        unsafe { memory.write(Boxed { header, future }) };
        let free = self.free.borrow_mut().pop();
        let index = free.or_else(|| self.slots.grow()).expect("fewer than 2^24 tasks in one shard");
        let slot = &self.slots.get(index).expect("a free index names a slot");
        debug_assert!(slot.future.get().is_none());
        slot.future.set(Some(memory.cast()));
        slot.state.set(QUEUED);
        self.ready.borrow_mut().push_back(index);
        self.live.set(self.live.get() + 1);
        TaskId { index, generation: slot.generation.get() }
    }

    /// Drops a task's future: at once, or after its poll when it is running. Says whether the task was alive.
    pub(crate) fn cancel(&self, task: TaskId) -> bool {
        let Some(slot) = self.slots.get(task.index) else { return false };
        if slot.generation.get() != task.generation || slot.future.get().is_none() {
            return false;
        }
        if slot.state.get() & RUNNING != 0 {
            slot.state.set(slot.state.get() | CANCELLED);
        } else {
            self.finish(task.index);
        }
        true
    }

    pub(crate) fn wake(&self, task: TaskId) {
        if let Some(slot) = self.slots.get(task.index)
            && slot.generation.get() == task.generation
        {
            self.enqueue(slot, task.index);
        }
    }

    /// Wakes whatever task lives at `index`: the wake came from another thread, whose word may be old.
    pub(crate) fn wake_index(&self, index: u32) {
        if let Some(slot) = self.slots.get(index) {
            self.enqueue(slot, index);
        }
    }

    fn enqueue(&self, slot: &Slot, index: u32) {
        let state = slot.state.get();
        if slot.future.get().is_none() || state & QUEUED != 0 {
            return;
        }
        slot.state.set(state | QUEUED);
        let queue = if state & RUNNING == 0 { &self.ready } else { &self.later };
        queue.borrow_mut().push_back(index);
    }

    /// Tasks that wait for a poll.
    pub(crate) fn runnable(&self) -> usize {
        self.ready.borrow().len() + self.later.borrow().len()
    }

    /// Whether a task waits for a poll.
    pub(crate) fn is_runnable(&self) -> bool {
        !self.ready.borrow().is_empty() || !self.later.borrow().is_empty()
    }

    /// Makes the tasks that yielded last turn runnable.
    pub(crate) fn begin_turn(&self) {
        let mut later = self.later.borrow_mut();
        if !later.is_empty() {
            self.ready.borrow_mut().append(&mut later);
        }
    }

    /// Polls the next runnable task. False when none is.
    pub(crate) fn run_one(&self, entered: &Entered<'_>, on_panic: &mut dyn FnMut(&(dyn Any + Send))) -> bool {
        let Some(index) = self.ready.borrow_mut().pop_front() else { return false };
        let slot = self.slots.get(index).expect("a queued index names a slot");
        let Some(future) = slot.future.get() else { return true };
        let task = TaskId { index, generation: slot.generation.get() };
        slot.state.set(RUNNING);
        entered.set_task(Some(task));
        let waker = waker(self.instance, task);
        // SAFETY: the future is alive until `finish`, which nobody but this function calls while RUNNING is set, and
        // RUNNING also keeps it from being polled twice at a time.
        let polled = catch_unwind(AssertUnwindSafe(|| unsafe {
            (future.as_ref().poll)(future, &mut Context::from_waker(&waker))
        }));
        entered.set_task(None);
        slot.state.set(slot.state.get() & !RUNNING);
        let ended = !matches!(polled, Ok(Poll::Pending));
        if let Err(panic) = polled {
            on_panic(&*panic);
            discard(panic);
        }
        if ended || slot.state.get() & CANCELLED != 0 {
            self.finish(index);
        }
        true
    }

    /// Drops the future of a task that is not running and frees its slot.
    fn finish(&self, index: u32) {
        let slot = self.slots.get(index).expect("the caller has the slot");
        debug_assert!(slot.state.get() & RUNNING == 0);
        let Some(future) = slot.future.take() else { return };
        slot.state.set(0);
        slot.generation.set(TaskId::next_generation(slot.generation.get()));
        self.live.set(self.live.get() - 1);
        // SAFETY: the slot gave up the only pointer to the live future, so it is dropped once and its memory is free.
        let layout = unsafe {
            let layout = future.as_ref().layout;
            // A future that panics while it is dropped is as dropped as it will ever be.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (future.as_ref().drop)(future))) {
                self.drop_panics.set(self.drop_panics.get() + 1);
                discard(panic);
            }
            layout
        };
        self.keep(layout, future.cast());
        self.free.borrow_mut().push(index);
    }

    fn memory(&self, layout: Layout) -> NonNull<u8> {
        if let Some((_, kept)) = self.kept.borrow_mut().iter_mut().find(|(of, _)| *of == layout)
            && let Some(memory) = kept.pop()
        {
            return memory;
        }
        // SAFETY: the layout holds a header, so its size is not zero.
        let memory = unsafe { alloc::alloc(layout) };
        NonNull::new(memory).unwrap_or_else(|| alloc::handle_alloc_error(layout))
    }

    fn keep(&self, layout: Layout, memory: NonNull<u8>) {
        let mut all = self.kept.borrow_mut();
        let at = all.iter().position(|(of, _)| *of == layout);
        match at {
            Some(at) if all[at].1.len() < KEPT_PER_LAYOUT => all[at].1.push(memory),
            None if all.len() < KEPT_LAYOUTS => all.push((layout, vec![memory])),
            // SAFETY: allocated in `memory` with this layout, and nobody has it any more.
            _ => unsafe { alloc::dealloc(memory.as_ptr(), layout) },
        }
    }

    /// Drops every future. Tasks that these drops spawn are dropped too.
    pub(crate) fn clear(&self) {
        while self.live.get() > 0 {
            for index in 0..self.slots.made() {
                self.finish(index);
            }
        }
        self.ready.borrow_mut().clear();
        self.later.borrow_mut().clear();
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.clear();
        for (layout, kept) in self.kept.borrow_mut().drain(..) {
            for memory in kept {
                // SAFETY: allocated in `memory` with this layout; kept memory belongs to nobody.
                unsafe { alloc::dealloc(memory.as_ptr(), layout) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::rc::Rc;

    use super::*;
    use crate::wake::Bell;

    fn run(tasks: &Tasks, instance: u16) -> (usize, usize) {
        let entered = Entered::enter(instance, tasks);
        let (mut polls, mut panics) = (0, 0);
        tasks.begin_turn();
        while tasks.run_one(&entered, &mut |_| panics += 1) {
            polls += 1;
        }
        (polls, panics)
    }

    #[test]
    fn a_task_runs_when_woken_and_its_memory_is_used_again() {
        let bell = Bell::register(None).unwrap();
        let tasks = Tasks::new(bell.instance());
        let count = Rc::new(Cell::new(0));
        let mut addresses = Vec::new();
        for _ in 0..3 {
            let (count, mut polls) = (Rc::clone(&count), 0);
            tasks.spawn(poll_fn(move |cx| {
                polls += 1;
                count.set(count.get() + 1);
                if polls == 3 {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            }));
            addresses.push(tasks.slots.get(0).unwrap().future.get());
            assert_eq!(run(&tasks, bell.instance()), (1, 0), "a task that wakes itself waits for the next turn");
            assert_eq!(run(&tasks, bell.instance()), (1, 0));
            assert_eq!(run(&tasks, bell.instance()), (1, 0));
            assert_eq!(tasks.live(), 0);
        }
        assert_eq!(count.get(), 9);
        assert!(addresses.iter().all(|address| *address == addresses[0]));
        bell.unregister();
    }

    #[test]
    fn a_panic_ends_its_task_alone() {
        let bell = Bell::register(None).unwrap();
        let tasks = Tasks::new(bell.instance());
        let alive = Rc::new(());
        let held = Rc::clone(&alive);
        tasks.spawn(async move {
            let _held = held;
            panic!("only me");
        });
        tasks.spawn(async {});
        assert_eq!(run(&tasks, bell.instance()), (2, 1));
        assert_eq!(Rc::strong_count(&alive), 1);
        bell.unregister();
    }

    /// Panics when it is dropped, and so does what that panic carries, and so on.
    struct Bomb(u8);

    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0 > 0 {
                std::panic::panic_any(Bomb(self.0 - 1));
            }
        }
    }

    #[test]
    fn a_panic_of_a_drop_ends_there_however_often_it_comes() {
        let bell = Bell::register(None).unwrap();
        let tasks = Tasks::new(bell.instance());
        for _ in 0..2 {
            tasks.spawn(async {
                let _bomb = Bomb(3);
                std::future::pending::<()>().await;
            });
        }
        tasks.spawn(async { std::panic::panic_any(Bomb(3)) });
        assert_eq!(run(&tasks, bell.instance()), (3, 1));
        assert_eq!(tasks.live(), 2);
        tasks.clear();
        assert_eq!((tasks.live(), tasks.take_drop_panics()), (0, 2));
        bell.unregister();
    }

    #[test]
    fn a_cancelled_task_is_dropped_and_its_id_names_nobody() {
        let bell = Bell::register(None).unwrap();
        let tasks = Tasks::new(bell.instance());
        let alive = Rc::new(());
        let held = Rc::clone(&alive);
        let task = tasks.spawn(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        run(&tasks, bell.instance());
        assert!(tasks.cancel(task));
        assert!(!tasks.cancel(task));
        assert_eq!(Rc::strong_count(&alive), 1);
        tasks.wake(task);
        assert!(!tasks.is_runnable());
        bell.unregister();
    }
}
