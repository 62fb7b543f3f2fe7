//! What was measured, for a program.

use serde_json::{Map, Value, json};

use super::Measured;
use super::text::PARTS;
use crate::load::{Fault, Protocol};

impl Measured {
    /// All figures as one JSON object. Times are seconds, latencies microseconds; a name says its unit.
    #[must_use]
    pub fn json(&self) -> Value {
        let Self { order, tally, .. } = self;
        let seconds = tally.elapsed.as_secs_f64();
        let mut latency = Map::new();
        latency.insert("mean".into(), json!(tally.latency.mean() / 1e3));
        latency.insert("stdev".into(), json!(tally.latency.stdev() / 1e3));
        latency.insert("min".into(), json!(tally.latency.min() as f64 / 1e3));
        for (name, part) in PARTS {
            latency.insert(name.into(), json!(tally.latency_us(part)));
        }
        let errors: Map<_, _> =
            Fault::ALL.iter().map(|&fault| (fault.name().to_owned(), json!(tally.faults(fault)))).collect();
        let statuses: Map<_, _> = (1..=5).map(|class| (format!("{class}xx"), json!(tally.statuses(class)))).collect();
        json!({
            "url": order.url.to_string(),
            "address": self.address.to_string(),
            "protocol": if order.protocol == Protocol::Http2 { "h2" } else { "http/1.1" },
            "method": order.method,
            "connections": order.connections,
            "pipeline": order.pipeline,
            "keep_alive": !order.per_request,
            "body_bytes": order.body.as_ref().map_or(order.body_size, |body| body.len() as u64),
            "io": self.io.to_string(),
            "threads": self.threads,
            "cores": order.cores,
            "warm_up_s": order.warm_up.as_secs_f64(),
            "duration_s": order.duration.as_secs_f64(),
            "elapsed_s": seconds,
            "interrupted": self.interrupted,
            "requests": {
                "answered": tally.answers,
                "per_second": tally.rate(),
                "asked_per_second": order.rate,
                "due": order.rate.map(|_| tally.due),
                "waiting_at_end": order.rate.map(|_| tally.waiting),
                "rate_held": order.rate.map(|_| tally.is_held()),
            },
            "connects": tally.connects,
            "resumed": tally.resumed,
            "tls": tally.agreed,
            "refused": tally.refused,
            "bytes": {
                "received": tally.bytes_in,
                "sent": tally.bytes_out,
                "received_per_second": tally.bytes_in as f64 / seconds,
                "sent_per_second": tally.bytes_out as f64 / seconds,
            },
            "latency_us": latency,
            "statuses": statuses,
            "errors": errors,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::measured;

    #[test]
    fn json_has_every_figure_with_its_unit() {
        let value = measured().json();
        assert_eq!(value["requests"]["answered"], 1000);
        assert_eq!(value["requests"]["per_second"], 500.0);
        assert!(value["requests"]["rate_held"].is_null(), "no rate was asked for");
        assert!((value["latency_us"]["p99"].as_f64().unwrap() / 990.0 - 1.0).abs() < 0.001);
        assert_eq!((&value["statuses"]["2xx"], &value["errors"]["reset"]), (&1000.into(), &0.into()));
    }
}
