//! SIGHUP: the configuration is read again. What does not check leaves the running one as it is.

use anygate_core::config::Config;
use anygate_core::diagnostic::render;

use super::listeners::How;
use super::{Control, Order, Phase, prepare};
use crate::compile::CompileEnv;

impl Control {
    /// Reads, checks and installs the configuration anew.
    pub(super) fn reload(&self) {
        if self.state.borrow().phase != Phase::Serving {
            return;
        }
        match self.try_reload() {
            Ok(serial) => self.log.info("reloaded", &[("serial", &serial)]),
            Err(why) => self.log.error("reload refused; the running configuration stays", &[("why", &why)]),
        }
    }

    fn try_reload(&self) -> Result<u64, String> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let serial = state.serial + 1;
        let env = CompileEnv { shards: state.shards.len(), descriptors: state.descriptors, serial };
        let prepared = prepare(&state.startup, &env);
        let text: String = prepared.diagnostics.iter().map(|d| render(&prepared.loaded.sources, d, false)).collect();
        let (Some(config), Some(plan)) = (prepared.loaded.config, prepared.plan) else { return Err(text) };
        if let Some(key) = fixed_key(&state.config, &config) {
            return Err(format!("`server.{key}` cannot change while running: restart to change it"));
        }
        let wanted: Vec<_> = config.server.listen.iter().map(|listen| listen.addr.clone()).collect();
        let mut change = state
            .listeners
            .change(&wanted, &How { cores: &state.cores, backlog: config.server.backlog, steer: config.server.steer })
            .map_err(|(address, error)| format!("cannot listen on {address}: {error}"))?;
        if !text.is_empty() {
            self.log.warn("the configuration has warnings", &[("text", &text)]);
        }
        state.listeners.commit(&mut change);
        state.names.want(&plan);
        state.serial = serial;
        state.config = config;
        for opened in change.opened {
            for (shard, fd) in state.shards.iter().zip(opened.sockets) {
                shard.order(Order::Listen { fd, number: opened.number }, &self.log);
            }
        }
        for shard in &state.shards {
            shard.order(Order::Install(Box::new(plan.clone())), &self.log);
            for (key, addresses) in state.names.known() {
                shard.order(Order::Resolved { key: key.clone(), addresses: addresses.to_vec() }, &self.log);
            }
            for number in &change.closed {
                shard.order(Order::Unlisten { number: *number }, &self.log);
            }
        }
        Ok(serial)
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
