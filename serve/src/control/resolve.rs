//! The names of upstreams: resolved off the shards, again and again, and told to every shard when they change.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anygate_shard::net;

use super::{Control, Order, Phase};
use crate::plan::Plan;
use crate::upstream::endpoint::{Key, Name};

/// How long an answer is believed.
const REFRESH: Duration = Duration::from_secs(30);
/// How soon a name that did not resolve is asked for again.
const RETRY: Duration = Duration::from_secs(5);

/// How long a start or a reload waits for names that are new.
const FIRST: Duration = Duration::from_secs(2);
/// How often it looks whether they are all there.
const STEP: Duration = Duration::from_millis(2);

/// Which names are wanted, and what is known of them.
#[derive(Debug, Default)]
pub(super) struct Names {
    wanted: Vec<Name>,
    known: BTreeMap<Key, Vec<SocketAddr>>,
    /// Counts changes of what is wanted, so that the asking for what was wanted before ends.
    round: u64,
}

impl Names {
    /// What a plan wants resolved; nothing is known yet.
    pub(super) fn of(plan: &Plan) -> Self {
        Self { wanted: plan.endpoints(), ..Self::default() }
    }

    /// Wants what `plan` wants from now on; what is known of names that stay is kept.
    pub(super) fn want(&mut self, plan: &Plan) {
        self.wanted = plan.endpoints();
        self.round += 1;
        let wanted = &self.wanted;
        self.known.retain(|key, _| wanted.iter().any(|name| name.key == *key));
    }

    /// Takes an answer. True when it is news: a name that resolved once keeps its addresses while the resolver fails.
    fn learn(&mut self, key: &Key, addresses: &[SocketAddr]) -> bool {
        let news = !addresses.is_empty() && self.known.get(key).is_none_or(|before| before != addresses);
        if news {
            self.known.insert(key.clone(), addresses.to_vec());
        }
        news
    }
}

impl Control {
    /// Asks for every name nothing is known of, all at once, and waits for the answers; not for ever.
    pub(super) async fn resolve_new(self: &Rc<Self>) {
        let unknown: Vec<Name> = {
            let names = &self.state.borrow().names;
            names.wanted.iter().filter(|name| !names.known.contains_key(&name.key)).cloned().collect()
        };
        let open = Rc::new(Cell::new(unknown.len()));
        for name in unknown {
            let (control, open) = (Rc::clone(self), Rc::clone(&open));
            self.shard.spawn(async move {
                control.ask(&name).await;
                open.set(open.get() - 1);
            });
        }
        let begun = self.shard.now();
        while open.get() > 0 && self.shard.now() - begun < FIRST {
            self.shard.sleep(STEP).await;
        }
    }

    /// Asks for what is wanted, again and again; the asking of an earlier configuration ends.
    pub(super) fn resolve(self: &Rc<Self>) {
        let control = Rc::clone(self);
        self.shard.spawn(async move {
            let round = control.state.borrow().names.round;
            // What is new was asked for just now.
            control.shard.sleep(RETRY).await;
            while let Some(wanted) = control.wanted(round) {
                let mut failed = false;
                for name in wanted {
                    failed |= !control.ask(&name).await;
                }
                control.shard.sleep(if failed { RETRY } else { REFRESH }).await;
            }
        });
    }

    /// What to ask for in this round; `None` when it is over.
    fn wanted(&self, round: u64) -> Option<Vec<Name>> {
        let state = self.state.borrow();
        let over = state.names.round != round || state.phase != Phase::Serving || state.names.wanted.is_empty();
        (!over).then(|| state.names.wanted.clone())
    }

    /// Asks for one name and tells the shards what is new; false when there was no answer.
    async fn ask(self: &Rc<Self>, name: &Name) -> bool {
        let (host, port) = (name.host.to_string(), name.port);
        let answer = self.shard.blocking(move || net::resolve(&host, port)).await;
        let mut addresses = answer.ok().and_then(Result::ok).unwrap_or_default();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            let known = self.state.borrow().names.known.contains_key(&name.key);
            let what = if known { "its last addresses are used" } else { "its routes answer 503" };
            self.log.warn("an upstream's name does not resolve", &[("host", &name.host), ("until_it_does", &what)]);
            return false;
        }
        if self.state.borrow_mut().names.learn(&name.key, &addresses) {
            let list = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            self.log.info("an upstream's name resolved", &[("host", &name.host), ("addresses", &list)]);
            self.order_all(|_| Order::Resolved { key: name.key.clone(), addresses: addresses.clone() });
        }
        true
    }
}
