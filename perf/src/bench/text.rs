//! What was measured, for a person.

use std::fmt::{self, Write};

use super::quantity::{bytes, count, span, time};
use super::{Measured, Order, Progress};
use crate::load::{Fault, Phase, Protocol, Tally};

/// The parts of all answers whose latency is told, with their names.
pub(super) const PARTS: [(&str, f64); 7] =
    [("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order, tally, .. } = self;
        writeln!(f, "{}  ({})", order.url, self.address)?;
        writeln!(f, "  load      {}", load(order))?;
        if let Some(agreed) = &tally.agreed {
            writeln!(f, "  tls       {agreed}")?;
        }
        let cores: Vec<_> = order.cores.iter().take(self.threads).map(usize::to_string).collect();
        let place = match &cores[..] {
            [] => "1 thread".to_owned(),
            [core] => format!("core {core}"),
            cores => format!("cores {}", cores.join(",")),
        };
        let early = if self.interrupted { ", ended early" } else { "" };
        writeln!(f, "  counted   {}{early} on {place}, {}", span(tally.elapsed), self.io)?;
        f.write_char('\n')?;
        let seconds = tally.elapsed.as_secs_f64();
        writeln!(f, "  requests  {}/s  ({} answered)", count(tally.rate().round() as u64), count(tally.answers))?;
        if let Some(rate) = order.rate {
            writeln!(f, "  rate      {}", held(rate, tally))?;
        }
        writeln!(f, "  received  {}/s", bytes(tally.bytes_in as f64 / seconds))?;
        writeln!(f, "  sent      {}/s", bytes(tally.bytes_out as f64 / seconds))?;
        if order.per_request {
            let rate = count((tally.connects as f64 / seconds).round() as u64);
            match tally.resumed as f64 / tally.connects.max(1) as f64 * 100.0 {
                part if order.url.tls => writeln!(f, "  connects  {rate}/s  ({part:.0} % by resumption)")?,
                _ => writeln!(f, "  connects  {rate}/s")?,
            }
        }
        writeln!(f, "  errors    {}", errors(tally))?;
        if let Some(why) = &tally.refused {
            writeln!(f, "  handshake {why}")?;
        }
        if tally.answers == 0 {
            return Ok(());
        }
        let since = if order.rate.is_some() { "from when a request was due" } else { "from when a request was sent" };
        writeln!(f, "\n  latency   {since}")?;
        for (name, part) in PARTS {
            writeln!(f, "    {name:<7} {:>9}", time(tally.latency_us(part)))?;
        }
        Ok(())
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, all) = (self.elapsed.as_secs_f64(), span(self.duration));
        let rate = count(self.rate.round() as u64);
        match self.phase {
            Phase::Opening => write!(f, "opening connections, {passed:.1} s")?,
            Phase::WarmUp => write!(f, "warming up, {passed:.1} of {all}, {rate}/s")?,
            Phase::Counting | Phase::Over => {
                write!(f, "{passed:.1} of {all}, {rate}/s, {} answered", count(self.answers))?;
            }
        }
        if self.faults > 0 { write!(f, ", {} errors", count(self.faults)) } else { Ok(()) }
    }
}

/// What was asked, and how often.
fn load(order: &Order) -> String {
    let connections = if order.connections == 1 {
        "1 connection".to_owned()
    } else {
        format!("{} connections", count(u64::from(order.connections)))
    };
    let mut text = connections;
    if order.protocol == Protocol::Http2 {
        text.push_str(" in HTTP/2");
    }
    if order.per_request {
        text.push_str(", each for one request");
    } else if order.pipeline > 1 {
        let _ = write!(text, ", {} requests at a time on each", order.pipeline);
    }
    let _ = match order.rate {
        Some(rate) => write!(text, ", {} requests due each second", count(rate.round() as u64)),
        None => write!(text, ", as fast as answers come"),
    };
    text
}

/// Whether a rate was held.
fn held(rate: f64, tally: &Tally) -> String {
    let asked = count(rate.round() as u64);
    if tally.is_held() {
        return format!("held: {asked}/s were due");
    }
    let part = tally.answers_of_any_status() as f64 / tally.due.max(1) as f64 * 100.0;
    let waiting = count(tally.waiting);
    format!("NOT HELD: {asked}/s were due, {part:.1} % were answered; at the end {waiting} requests still waited")
}

/// What went wrong, by kind; a bad status by its class.
fn errors(tally: &Tally) -> String {
    let mut parts = Vec::new();
    for fault in Fault::ALL.into_iter().filter(|&fault| fault != Fault::Status && tally.faults(fault) > 0) {
        parts.push(format!("{} {}", count(tally.faults(fault)), fault.name()));
    }
    for class in [1, 4, 5].into_iter().filter(|&class| tally.statuses(class) > 0) {
        parts.push(format!("{} status {class}xx", count(tally.statuses(class))));
    }
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::tests::order;
    use super::*;
    use anygate_shard::Io;

    pub(in crate::bench) fn measured() -> Measured {
        let mut tally = Tally::new();
        (1..=1000).for_each(|at| tally.answered(200, Duration::from_micros(at)));
        tally.elapsed = Duration::from_secs(2);
        (tally.bytes_in, tally.bytes_out) = (200_000, 50_000);
        let address = "127.0.0.1:9".parse().unwrap();
        Measured { order: order(), address, io: Io::Epoll, threads: 1, interrupted: false, tally }
    }

    #[test]
    fn every_figure_has_its_line() {
        let text = measured().to_string();
        for line in [
            "http://127.0.0.1:9/  (127.0.0.1:9)",
            "  load      64 connections, as fast as answers come",
            "  counted   2 s on 1 thread, epoll",
            "  requests  500/s  (1,000 answered)",
            "  received  100 KB/s",
            "  sent      25.0 KB/s",
            "  errors    none",
            "    p50        500 µs",
            "    p99.99    1.00 ms",
            "    max       1.00 ms",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn errors_are_named_by_kind() {
        let mut measured = measured();
        measured.tally.fault(Fault::Reset, 1200);
        measured.tally.fault(Fault::Stalled, 1);
        measured.tally.answered(404, Duration::ZERO);
        measured.tally.answered(503, Duration::ZERO);
        let text = measured.to_string();
        assert!(text.contains("  errors    1,200 reset, 1 stalled, 1 status 4xx, 1 status 5xx\n"), "{text}");
        assert!(!measured.is_well());
    }

    #[test]
    fn a_rate_that_is_not_held_is_said_loudly() {
        let mut measured = measured();
        measured.order.rate = Some(1000.0);
        (measured.tally.due, measured.tally.waiting) = (2000, 900);
        let text = measured.to_string();
        let line =
            "  rate      NOT HELD: 1,000/s were due, 50.0 % were answered; at the end 900 requests still waited\n";
        assert!(text.contains(line), "{text}");
        assert!(!measured.is_well());
        measured.tally.due = 1000;
        assert!(measured.to_string().contains("  rate      held: 1,000/s were due\n"));
        assert!(measured.is_well());
    }

    #[test]
    fn progress_fits_a_line() {
        let progress = |phase| Progress {
            phase,
            elapsed: Duration::from_millis(2500),
            duration: Duration::from_secs(10),
            rate: 19_998.7,
            answers: 50_000,
            faults: 3,
        };
        assert_eq!(progress(Phase::WarmUp).to_string(), "warming up, 2.5 of 10 s, 19,999/s, 3 errors");
        assert_eq!(progress(Phase::Counting).to_string(), "2.5 of 10 s, 19,999/s, 50,000 answered, 3 errors");
    }
}
