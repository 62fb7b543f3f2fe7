//! What does this gate answer itself, because `Max-Forwards` says that a request ends here (RFC 9110 §7.6.2)?

use anygate_proto::Known;
use anygate_shard::Bytes;

use crate::body::Body;
use crate::exchange::Exchange;
use crate::response::Response;

/// Fields that a `TRACE` does not return (RFC 9110 §9.3.8).
const SECRETS: [Known; 3] = [Known::Authorization, Known::ProxyAuthorization, Known::Cookie];

/// The answer to an `OPTIONS` (nothing, gladly) or a `TRACE` (its own head).
pub(super) fn answer(exchange: &Exchange) -> Response {
    let view = exchange.head.view();
    if view.method() != b"TRACE" {
        return Response::new(204, Bytes::empty(), Body::Empty);
    }
    let mut seen = Vec::with_capacity(view.bytes.len());
    for part in [view.method(), b" ", view.target(), b" ", view.request.version.name().as_bytes(), b"\r\n"] {
        seen.extend_from_slice(part);
    }
    if let Some(host) = view.unsaid_host() {
        for part in [b"host: ", host, b"\r\n"] {
            seen.extend_from_slice(part);
        }
    }
    for field in view.fields.iter().filter(|field| !SECRETS.contains(&field.known)) {
        for part in [field.name.of(view.bytes), b": ", field.value.of(view.bytes), b"\r\n"] {
            seen.extend_from_slice(part);
        }
    }
    seen.extend_from_slice(b"\r\n");
    Response::new(200, Bytes::from_static(b"Content-Type: message/http\r\n"), Body::Bytes(Bytes::from(seen)))
}
