//! The route language: one line a rule, a head (who may come in) and an action (what happens).
//!
//! [`parse_rule`] reads a rule, [`Table::build`] compiles all of them and refuses what cannot be meant, and
//! [`Table::find`] tells the rule of a request. No I/O, no time, no threads.
//!
//! Where the language leaves a choice, this is the one taken:
//!
//! - A path with `%2F` or `%5C` is matched once more with both decoded to a slash, because that is how a backend that
//!   decodes them reads them. Two different rules are `400`; so is no second rule, if a dot segment came to light.
//! - In a target `*` is what the head's `*` or final `/` matched. The *tail* that a target's final `/` appends begins
//!   after the head's literal prefix, so that it holds parameters too; a target that also names one gets a warning.
//! - In a target a `:` right after a letter or digit is plain: `/users:batch`, `10:30`. Of `:a-b` the longest name that
//!   the head declares is meant.
//! - What is filled into a query keeps its escapes, and `&`, `=`, `+`, `;`, `#` in it are encoded.
//! - A static rule without methods still is for every method: what it refuses with `405` falls to no other rule, and
//!   `OPTIONS` gets `204` with the `Allow` that is left.
//! - A redirect status with `*` is refused, not an echo: it would lack its `Location`.
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
