//! Certificates that this server orders itself (ACME, RFC 8555): ordered, kept and renewed by a task of the control thread.
//!
//! What to do when is decided in [`anygate_proto::acme`]; here are its requests, its files, its clock and its log. Without a
//! certificate, or with one that is due, the authority is asked; what it wants to see is answered by every shard; what comes
//! is written to the storage first and served then. No shard waits for any of it.

mod course;
mod storage;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use anygate_core::config::{Acme, Config};
use anygate_shard::TaskId;

use self::course::Course;
use super::{Control, Phase};

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Slot(RefCell<Option<Running>>);

#[derive(Debug)]
struct Running {
    settings: Acme,
    task: TaskId,
    /// True while an order is under way.
    busy: Rc<Cell<bool>>,
}

/// An order is under way until this is dropped, by a panic too.
struct Busy(Rc<Cell<bool>>);

impl Busy {
    fn begin(busy: &Rc<Cell<bool>>) -> Self {
        busy.set(true);
        Self(Rc::clone(busy))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Control {
    /// Orders and renews what the configuration wants. What was under way for another one ends; otherwise an order goes on,
    /// and what was kept is looked at again.
    pub(super) fn keep_certificates_coming(self: &Rc<Self>) {
        let wanted = {
            let state = self.state.borrow();
            if state.phase == Phase::Serving { wanted(&state.config) } else { None }
        };
        let same = |running: &Running| running.busy.get() && Some(&running.settings) == wanted.as_ref();
        if self.acme.0.borrow().as_ref().is_some_and(same) {
            return;
        }
        self.end_orders();
        if let Some(settings) = wanted {
            let busy = Rc::new(Cell::new(false));
            let course = Course::new(Rc::clone(self), settings.clone(), Rc::clone(&busy));
            let task = self.shard.spawn(course.run());
            *self.acme.0.borrow_mut() = Some(Running { settings, task, busy });
        }
    }

    /// Ends what is under way.
    pub(super) fn end_orders(&self) {
        let running = self.acme.0.borrow_mut().take();
        if let Some(running) = running {
            self.shard.cancel(running.task);
        }
    }
}

/// What is ordered: something a listener shows.
fn wanted(config: &Config) -> Option<Acme> {
    let shown = config.server.listen.iter().any(|listen| listen.tls.is_some());
    config.tls.acme.clone().filter(|_| shown)
}
