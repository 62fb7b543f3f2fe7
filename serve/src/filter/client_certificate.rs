//! Does a request come with the client certificate that its rule demands?

use crate::exchange::Exchange;
use crate::response::Response;

/// The answer to a request whose connection does not meet the demand: 403 where the client showed no certificate, on a plain
/// connection too; 421 where it showed one in another host's session, for another connection may meet it (RFC 9110
/// §15.5.20).
pub(super) fn refusal(exchange: &Exchange) -> Option<Response> {
    let cells = &exchange.server.cells;
    let Some(tls) = exchange.tls.as_deref().filter(|tls| tls.has_certificate()) else {
        cells.client_certificates_missing.add(1);
        return Some(Response::page(403));
    };
    let host = exchange.head.view().host();
    if exchange.server.fronts.is_for_another_host(exchange.listener, tls, host) {
        cells.misdirected.add(1);
        return Some(Response::page(421));
    }
    None
}
