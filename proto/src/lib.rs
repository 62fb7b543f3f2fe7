//! Bytes to messages and back: HTTP without sockets.
//!
//! Everything here is sans-IO: it is given bytes and gives bytes, knows no clock (seconds are passed in), no thread and
//! no descriptor. Nothing panics on what a peer sends: what cannot be read is a [`Reject`] with the status it earns.
#![forbid(unsafe_code)]

pub mod acme;
pub mod conditional;
pub mod date;
pub mod error;
mod fields;
pub mod forwarded;
pub mod h1;
pub mod h2;
pub mod head;
pub mod known;
pub mod mime;
pub mod negotiate;
pub mod range;
pub mod text;
pub mod tls;
pub mod url;
pub mod websocket;

pub use error::Reject;
pub use h1::{Limits, Parsed};
pub use head::{
    BodyLength, Field, Fields, Head, Request, RequestView, Response, ResponseHead, ResponseView, Scheme, Span,
    TargetForm, Version,
};
pub use known::Known;
