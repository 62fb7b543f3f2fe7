//! Which HTTP/2 connections of a shard have something to say at the turn's end?

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::Link;

/// The connections with something to say.
#[derive(Debug, Default)]
pub(crate) struct Links {
    list: RefCell<Vec<Rc<Link>>>,
    /// Where heads are encoded.
    pub(super) block: Rc<RefCell<Vec<u8>>>,
}

impl Links {
    /// This connection has something to say, which nobody else said.
    #[inline]
    pub(super) fn add(&self, link: &Rc<Link>) {
        self.list.borrow_mut().push(Rc::clone(link));
    }

    /// True when there is none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }
}

/// The connections whose turn it is, one after another. Where the work of one panics, those behind it have their turn the next
/// time: nobody else would say that they have something to say.
pub(super) struct Round<'l> {
    links: &'l Links,
    list: Vec<Rc<Link>>,
    at: Cell<usize>,
}

impl<'l> Round<'l> {
    /// All that have something to say.
    pub(super) fn of(links: &'l Links) -> Self {
        Self { links, list: links.list.take(), at: Cell::new(0) }
    }

    /// Whose turn it is now.
    pub(super) fn next(&self) -> Option<&Rc<Link>> {
        let link = self.list.get(self.at.get())?;
        self.at.set(self.at.get() + 1);
        Some(link)
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.list.drain(..self.at.get());
        let mut now = self.links.list.borrow_mut();
        if now.is_empty() {
            // Its memory is used again.
            *now = std::mem::take(&mut self.list);
        } else {
            now.append(&mut self.list);
        }
    }
}
