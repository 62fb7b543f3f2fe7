//! The route language: one line a rule, a head (who may come in) and an action (what happens).
//!
//! [`parse_rule`] reads a rule, [`Table::build`] compiles all of them and refuses what cannot be meant, and
//! [`Table::find`] tells the rule of a request. No I/O, no time, no threads.
#![forbid(unsafe_code)]

mod action;
mod captures;
mod conflict;
mod expect;
mod explain;
mod head;
mod host;
mod methods;
mod overlap;
mod path;
mod pattern;
mod request;
mod rule;
mod table;
mod target;
mod template;
mod tree;
mod trie;
mod witness;

pub use captures::Captures;
pub use expect::{Expectation, Wanted};
pub use explain::{Candidate, Explanation};
pub use host::{Host, MAX_HOST};
pub use methods::{MAX_METHODS, Methods};
pub use overlap::Overlap;
pub use path::{BadPath, Scratch};
pub use pattern::{End, MAX_SEGMENTS, Pattern, Segment};
pub use request::Request;
pub use rule::{
    Action, Authority, Context, Fixed, PathKind, Rule, Scheme, StaticTarget, Target, TargetPath, parse_rule,
};
pub use table::{Allow, Found, Lookup, Table};
pub use template::Template;
pub use tree::Style;
