//! SIGHUP: the configuration is read again. What does not check leaves the running one as it is; what does is told as
//! reloaded when every shard serves by it.

use std::rc::Rc;

use anygate_core::config::Config;
use anygate_core::diagnostic::render;

use super::listeners::{Change, How};
use super::{Control, Order, Phase, prepare};
use crate::compile::CompileEnv;
use crate::plan::Plan;
use crate::tls::Credentials;

/// A configuration that checks and whose listeners are open.
struct Next {
    config: Config,
    plan: Plan,
    credentials: Credentials,
    change: Change,
}

/// A reload is under way until this is dropped, by a panic too: the next one is made all the same.
struct Over(Rc<Control>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.reloads_wanted.set(0);
    }
}

impl Control {
    /// Reads, checks and installs the configuration anew. Asked again meanwhile, it does so once more.
    pub(super) fn reload(self: &Rc<Self>) {
        self.reloads_wanted.set(self.reloads_wanted.get() + 1);
        if self.reloads_wanted.get() > 1 {
            return;
        }
        let over = Over(Rc::clone(self));
        self.shard.spawn(async move {
            let Over(control) = &over;
            loop {
                let wanted = control.reloads_wanted.get();
                control.reload_once().await;
                if control.reloads_wanted.get() == wanted {
                    return;
                }
            }
        });
    }

    async fn reload_once(self: &Rc<Self>) {
        if self.state.borrow().phase != Phase::Serving {
            return;
        }
        let next = match self.next() {
            Ok(next) => next,
            Err(why) => return self.log.error("reload refused; the running configuration stays", &[("why", &why)]),
        };
        // Names first, so that no request meets a route whose servers are not known yet.
        self.state.borrow_mut().names.want(&next.plan);
        self.resolve_new().await;
        if self.state.borrow().phase == Phase::Serving {
            self.install(next);
        }
        self.resolve();
    }

    /// What would be served next, or everything that is wrong with it.
    fn next(&self) -> Result<Next, String> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let env = CompileEnv { shards: state.shards.len(), descriptors: state.descriptors, serial: state.serial + 1 };
        let prepared = prepare(&state.startup, &env);
        let rendered: Vec<_> =
            prepared.diagnostics.iter().map(|d| render(&prepared.loaded.sources, d, false)).collect();
        let text = rendered.join("\n");
        let (Some(config), Some(plan)) = (prepared.loaded.config, prepared.plan) else { return Err(text) };
        if let Some(key) = fixed_key(&state.config, &config) {
            return Err(format!("`server.{key}` cannot change while running: restart to change it"));
        }
        let wanted: Vec<_> = config.server.listen.iter().map(|listen| listen.addr.clone()).collect();
        let (backlog, steer) = (config.server.backlog, config.server.steer);
        let change = state
            .listeners
            .change(&wanted, &How { shard: &self.shard, cores: &state.cores, backlog, steer })
            .map_err(|(address, error)| format!("cannot listen on {address}: {error}"))?;
        if !text.is_empty() {
            self.log.warn("the configuration has warnings", &[("text", &text)]);
        }
        Ok(Next { config, plan, credentials: prepared.credentials, change })
    }

    fn install(self: &Rc<Self>, next: Next) {
        let Next { config, plan, credentials, mut change } = next;
        self.log.configure(config.log.level, config.log.format);
        let renumbered = {
            let mut state = self.state.borrow_mut();
            state.listeners.commit(&mut change);
            state.serial = plan.serial;
            state.config = config;
            state.fronts.clone_from(&plan.fronts);
            let renumbered = state.listeners.agree(|address| credentials.terms(address));
            state.certificates.replace(credentials);
            renumbered
        };
        // Whoever comes in by the new table finds the new front too.
        self.say_fronts();
        self.order_all(|_| Order::Install(Box::new(plan.clone())));
        self.listen(change.opened);
        self.renumber(&renumbered);
        for number in change.closed {
            self.order_all(|_| Order::Unlisten { number });
        }
        self.watch_certificates();
        self.keep_certificates_coming();
    }

    /// Ends the connections of listeners whose terms changed, when they have finished what is under way.
    pub(super) fn renumber(self: &Rc<Self>, renumbered: &[(u32, u32)]) {
        for &(from, to) in renumbered {
            self.order_all(|_| Order::Renumber { from, to });
        }
    }

    /// Shard `number` serves by the table `serial`. A table that every shard serves by is told, once, and so are those
    /// before it: a request that comes later is answered by none that is older. Nothing else waits for this.
    pub(super) fn installed(&self, number: u16, serial: u64) {
        let mut state = self.state.borrow_mut();
        if let Some(shard) = state.shards.get_mut(usize::from(number)) {
            shard.installed = serial;
        }
        let everywhere = state.shards.iter().map(|shard| shard.installed).min().unwrap_or(0);
        while state.told < everywhere {
            state.told += 1;
            self.log.info("reloaded", &[("serial", &state.told)]);
        }
    }
}

/// The key of `server` that would change and cannot.
fn fixed_key(old: &Config, new: &Config) -> Option<&'static str> {
    let (old, new) = (&old.server, &new.server);
    if old.cores != new.cores {
        Some("cores")
    } else if old.io != new.io {
        Some("io")
    } else if old.steer != new.steer {
        Some("steer")
    } else {
        None
    }
}
