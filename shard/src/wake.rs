//! Who is woken, and how a wake reaches its shard from any thread.
//!
//! A waker is one packed word, so cloning and dropping it cost nothing. On its own shard's thread, inside a turn, a wake
//! is a push on a local queue. From anywhere else it sets a bit in the shard's atomic bitmap and rings its bell.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::ptr;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

pub(crate) use crate::bell::Bell;
use crate::executor::Tasks;
use crate::sync::Alarm;

const _: () = assert!(usize::BITS == 64, "a waker's data pointer carries a 64-bit word");

/// The most tasks one shard can hold.
pub(crate) const MAX_TASKS: u32 = 1 << 24;
/// The greatest row number plus one.
pub(crate) const MAX_ROWS: u32 = 1 << 31;
const GENERATION_MASK: u32 = (1 << 24) - 1;

/// A socket of one shard. The generation tells it from earlier sockets in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl SocketId {
    /// The slot's number, for logs.
    pub fn index(self) -> u32 {
        self.index
    }
}

/// A task of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl TaskId {
    /// A task's word: 24 bits of generation, 24 bits of index.
    fn word(self) -> u64 {
        u64::from(self.generation & GENERATION_MASK) << 24 | u64::from(self.index)
    }

    fn of_word(word: u64) -> TaskId {
        TaskId { index: (word & 0xff_ffff) as u32, generation: (word >> 24 & 0xff_ffff) as u32 }
    }

    /// The generation after `generation`, as far as a waker's word can tell generations apart.
    pub(crate) fn next_generation(generation: u32) -> u32 {
        generation.wrapping_add(1) & GENERATION_MASK
    }
}

/// Who is woken: nothing, a task of this shard, or a row (a connection at rest, a listener, an idle upstream).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wake(u64);

const TAG_ROW: u64 = 1 << 63;
const TAG_TASK: u64 = 1 << 62;

/// A [`Wake`] taken apart.
pub(crate) enum Target {
    Nothing,
    Task(TaskId),
    Row(u32),
}

impl Wake {
    /// Wakes nobody.
    pub const NONE: Wake = Wake(0);

    /// Calls [`Service::ready`](crate::Service::ready) with this row, which is less than 2^31.
    pub fn row(row: u32) -> Wake {
        debug_assert!(row < MAX_ROWS);
        Wake(TAG_ROW | u64::from(row))
    }

    /// The task that is being polled with `cx`.
    ///
    /// A waker that is not a shard's own (a combinator's) stands for the task now running: the task is woken, the
    /// combinator's own bookkeeping is not told. Debug builds panic on it.
    pub fn of(cx: &Context<'_>) -> Wake {
        let waker = cx.waker();
        if ptr::eq(waker.vtable(), &raw const VTABLE) {
            let word = waker.data().addr() as u64;
            return Wake(TAG_TASK | word & ((1 << 48) - 1));
        }
        debug_assert!(false, "Wake::of was given a waker that no shard made");
        CURRENT.get().task.map_or(Wake::NONE, Wake::task)
    }

    pub(crate) fn task(task: TaskId) -> Wake {
        Wake(TAG_TASK | task.word())
    }

    pub(crate) fn is_row(self) -> bool {
        self.0 & TAG_ROW != 0
    }

    pub(crate) fn target(self) -> Target {
        if self.0 & TAG_ROW != 0 {
            Target::Row(self.0 as u32)
        } else if self.0 & TAG_TASK != 0 {
            Target::Task(TaskId::of_word(self.0))
        } else {
            Target::Nothing
        }
    }
}

// ---- the shard this thread is in ---------------------------------------------------------------

/// Which shard's turn runs on this thread.
#[derive(Clone, Copy)]
pub(crate) struct Current {
    instance: u16,
    tasks: *const Tasks,
    task: Option<TaskId>,
}

const NOBODY: Current = Current { instance: 0, tasks: ptr::null(), task: None };

thread_local! {
    static CURRENT: Cell<Current> = const { Cell::new(NOBODY) };
}

/// Makes a shard the current one for as long as it lives; the one before comes back after it.
pub(crate) struct Entered<'a> {
    before: Current,
    _tasks: &'a Tasks,
}

impl<'a> Entered<'a> {
    pub(crate) fn enter(instance: u16, tasks: &'a Tasks) -> Entered<'a> {
        let before = CURRENT.replace(Current { instance, tasks, task: None });
        Entered { before, _tasks: tasks }
    }

    pub(crate) fn set_task(&self, task: Option<TaskId>) {
        let current = CURRENT.get();
        CURRENT.set(Current { task, ..current });
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

// ---- wakers ------------------------------------------------------------------------------------

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, drop_nothing);

/// The waker of a task: shard instance (16 bits), generation (24), index (24). It owns nothing.
pub(crate) fn waker(instance: u16, task: TaskId) -> Waker {
    let word = u64::from(instance) << 48 | task.word();
    // SAFETY: the data is a plain number that VTABLE's functions only ever decode; they neither dereference nor own
    // it, may be called on any thread, and a word of a shard that is gone finds nobody or wakes a stranger for nothing.
    unsafe { Waker::from_raw(RawWaker::new(ptr::without_provenance(word as usize), &VTABLE)) }
}

/// # Safety
/// None: the data is a number.
unsafe fn clone(data: *const ()) -> RawWaker {
    RawWaker::new(data, &VTABLE)
}

/// # Safety
/// None: the data is a number, and one that names no task wakes nobody.
unsafe fn wake(data: *const ()) {
    let word = data.addr() as u64;
    let instance = (word >> 48) as u16;
    let task = TaskId::of_word(word);
    let current = CURRENT.get();
    if current.instance == instance {
        // SAFETY: CURRENT names a shard only while its `Entered`, which borrows the task table, is alive on this
        // thread, so the pointer is valid and the table is used by its own thread.
        unsafe { (*current.tasks).wake(task) };
    } else if let Some(bell) = find(instance) {
        bell.wake_task(task.index);
    }
}

/// # Safety
/// None: there is nothing to drop.
unsafe fn drop_nothing(_: *const ()) {}

// ---- wakes from other threads -------------------------------------------------------------------

static SHARDS: RwLock<Vec<Option<Arc<Bell>>>> = RwLock::new(Vec::new());

fn find(instance: u16) -> Option<Arc<Bell>> {
    let shards = SHARDS.read().unwrap_or_else(PoisonError::into_inner);
    shards.get(usize::from(instance).wrapping_sub(1)).cloned().flatten()
}

impl Bell {
    /// Registers a new shard under the lowest free instance number. `None` when 65,535 shards live.
    pub(crate) fn register(eventfd: Option<OwnedFd>) -> Option<Arc<Bell>> {
        let mut shards = SHARDS.write().unwrap_or_else(PoisonError::into_inner);
        let free = shards.iter().position(Option::is_none).unwrap_or(shards.len());
        let instance = u16::try_from(free + 1).ok()?;
        let bell = Arc::new(Bell::new(instance, Alarm(eventfd)));
        if free == shards.len() {
            shards.push(None);
        }
        shards[free] = Some(Arc::clone(&bell));
        Some(bell)
    }

    pub(crate) fn unregister(&self) {
        let mut shards = SHARDS.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = shards.get_mut(usize::from(self.instance) - 1) {
            *slot = None;
        }
    }

    pub(crate) fn instance(&self) -> u16 {
        self.instance
    }

    pub(crate) fn eventfd(&self) -> Option<i32> {
        self.alarm.descriptor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_packs_a_task_or_a_row_and_gives_it_back() {
        let task = TaskId { index: 0xabcdef, generation: 0x123456 };
        assert!(matches!(Wake::task(task).target(), Target::Task(same) if same == task));
        assert!(matches!(Wake::row(MAX_ROWS - 1).target(), Target::Row(row) if row == MAX_ROWS - 1));
        assert!(matches!(Wake::NONE.target(), Target::Nothing));
    }

    #[test]
    fn a_waker_survives_its_shard_and_may_be_used_on_any_thread() {
        let bell = Bell::register(None).unwrap();
        let waker = waker(bell.instance(), TaskId { index: 70_000, generation: 3 });
        let clone = waker.clone();
        std::thread::spawn(move || clone.wake()).join().unwrap();
        let mut woken = Vec::new();
        assert!(bell.take_rung());
        bell.take_tasks(|task| woken.push(task));
        assert_eq!(woken, [70_000]);
        bell.unregister();
        waker.wake();
        assert!(!bell.take_rung());
    }

    #[test]
    fn a_ring_before_sleep_keeps_the_shard_awake() {
        let bell = Bell::register(None).unwrap();
        assert!(bell.park());
        bell.ring();
        assert!(!bell.park());
        assert!(bell.take_rung());
        assert!(bell.park());
        bell.unregister();
    }
}
