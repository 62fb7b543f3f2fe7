//! What does a configuration come to, with everything that is wrong in it, before anything is served?

use anygate_core::config::{Config, Loaded};
use anygate_core::{Diagnostic, Sources};
use anygate_serve::compile::{CompileEnv, Compiled, compile};

use crate::source::Source;

/// A configuration as `check`, `routes` and `explain` look at it.
pub(crate) struct Prepared {
    pub(crate) sources: Sources,
    /// The configuration; `None` when its file could not be understood.
    pub(crate) config: Option<Config>,
    /// What its rules came to, where there is a configuration.
    pub(crate) compiled: Option<Compiled>,
    /// All findings.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Prepared {
    /// Loads and compiles, for looking at alone.
    pub(crate) fn new(source: &Source) -> Self {
        let Loaded { config, mut diagnostics, sources, .. } = load(source);
        let mut compiled = config.as_ref().map(|config| compile(config, &LOOK));
        if let Some(compiled) = &mut compiled {
            diagnostics.append(&mut compiled.diagnostics);
        }
        Self { sources, config, compiled, diagnostics }
    }

    /// True when the configuration would be refused.
    pub(crate) fn is_refused(&self) -> bool {
        self.config.is_none() || self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// One shard, no limits: nothing is served from it.
const LOOK: CompileEnv = CompileEnv { shards: 1, descriptors: usize::MAX, serial: 0 };

/// Loads a configuration. Where its file has errors, the rules that could be read are checked all the same, so that
/// everything is told in one run.
pub(crate) fn load(source: &Source) -> Loaded {
    let mut loaded = source.load();
    if let (None, Some(draft)) = (&loaded.config, &mut loaded.draft) {
        // What is expected of a configuration that is not whole says nothing.
        draft.expect.clear();
        let found = compile(draft, &LOOK).diagnostics;
        // A rule that is missing may be one that could not be read.
        loaded
            .diagnostics
            .extend(found.into_iter().filter(|diagnostic| !draft.routes.is_empty() || diagnostic.is_error()));
    }
    loaded
}
