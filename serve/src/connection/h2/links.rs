//! Which HTTP/2 connections of a shard have something to say at the turn's end?

use std::cell::RefCell;
use std::rc::Rc;

use super::Link;

/// The connections with something to say.
#[derive(Debug, Default)]
pub(crate) struct Links {
    list: RefCell<Vec<Rc<Link>>>,
    /// Where heads are encoded.
    pub(super) block: RefCell<Vec<u8>>,
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

    /// All of them.
    pub(super) fn take(&self) -> Vec<Rc<Link>> {
        self.list.take()
    }

    /// Takes the list's memory back, unless it has been used again.
    pub(super) fn give_back(&self, mut list: Vec<Rc<Link>>) {
        list.clear();
        let mut now = self.list.borrow_mut();
        if now.is_empty() {
            *now = list;
        }
    }
}
