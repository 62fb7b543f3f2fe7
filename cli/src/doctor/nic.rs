//! Do network cards hand their packets to the processors that have the shards?

use anygate_core::config::Steer;

use super::facts::Facts;
use super::finding::Finding;
use super::host::{Host, bits, numbers, shown};

const IRQ_UNIT: &str = "systemd/anygate-irq@.service";

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let cards: Vec<Card> = cards(&facts.host).into_iter().map(|name| Card::of(&facts.host, name)).collect();
    if cards.is_empty() {
        return vec![Finding::ok("network cards", "none is seen here; loopback needs no interrupts")];
    }
    let mut findings = Vec::new();
    for card in &cards {
        findings.push(interrupts(facts, card));
        findings.push(receive_steering(facts, card));
        findings.push(send_steering(facts, card));
    }
    findings.push(balancer(facts));
    findings.push(steering(facts, &cards));
    findings
}

/// The interfaces that have a device; what is virtual (loopback, bridges, tunnels) has none.
pub(super) fn cards(host: &Host) -> Vec<String> {
    let folder = "sys/class/net";
    host.list(folder).into_iter().filter(|name| !host.list(&format!("{folder}/{name}/device")).is_empty()).collect()
}

/// A network card.
struct Card {
    name: String,
    /// Its receive queues' interrupts: number, name, and the processors that get it.
    interrupts: Vec<(u32, String, Vec<usize>)>,
    /// How many it receives with, and sends with.
    receive: usize,
    send: usize,
}

impl Card {
    fn of(host: &Host, name: String) -> Self {
        let folder = format!("sys/class/net/{name}");
        let queues = host.list(&format!("{folder}/queues"));
        let count = |kind: &str| queues.iter().filter(|queue| queue.starts_with(kind)).count();
        // A virtio device's interrupts belong to the PCI device above it.
        let mut lines = host.list(&format!("{folder}/device/msi_irqs"));
        if lines.is_empty() {
            lines = host.list(&format!("{folder}/device/../msi_irqs"));
        }
        let table = host.read("proc/interrupts").unwrap_or_default();
        let mut interrupts: Vec<_> = lines
            .iter()
            .filter_map(|line| {
                let number: u32 = line.parse().ok()?;
                let mark = format!("{number}:");
                let action =
                    table.lines().find(|line| line.trim_start().starts_with(&mark))?.split_whitespace().last()?;
                let on = ["effective_affinity_list", "smp_affinity_list"]
                    .iter()
                    .find_map(|file| host.read(&format!("proc/irq/{number}/{file}")).filter(|list| !list.is_empty()))?;
                Some((number, action.to_owned(), numbers(&on)))
            })
            .filter(|(_, action, _)| is_queue(action))
            .collect();
        // Where the queues of both ways have their own, receiving counts.
        if interrupts.iter().any(|(_, action, _)| is_receive(action)) {
            interrupts.retain(|(_, action, _)| is_receive(action));
        }
        Self { receive: count("rx-"), send: count("tx-"), name, interrupts }
    }

    /// The processors that get its interrupts, each once.
    fn targets(&self) -> Vec<usize> {
        let mut cores: Vec<usize> = self.interrupts.iter().flat_map(|(.., cores)| cores.iter().copied()).collect();
        cores.sort_unstable();
        cores.dedup();
        cores
    }

    /// The commands that give its queues to `cores` in turn.
    fn pin(&self, cores: &[usize], finding: Finding) -> Finding {
        let each = self.interrupts.iter().zip(cores.iter().cycle());
        let words: Vec<String> =
            each.map(|((number, ..), core)| format!("echo {core} > /proc/irq/{number}/smp_affinity_list")).collect();
        let finding = match words.len() {
            0..=4 => words.into_iter().fold(finding, Finding::fix),
            _ => finding.fix(format!("packaging/tuning/bin/anygate-irq {} {}", self.name, shown(cores))),
        };
        finding.preset(IRQ_UNIT)
    }
}

/// Whether an interrupt is one of a queue, by its name: not what tells of changes and errors.
fn is_queue(action: &str) -> bool {
    let other = ["config", "control", "async", "mgmt", "misc", "event", "cmd", "aq", "fw"];
    !action.rsplit(['-', '@', '.']).any(|word| other.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit())))
}

fn is_receive(action: &str) -> bool {
    let lower = action.to_ascii_lowercase();
    lower.contains("rx") || lower.contains("input")
}

fn interrupts(facts: &Facts, card: &Card) -> Finding {
    const CHECK: &str = "interrupts";
    let name = &card.name;
    if card.interrupts.is_empty() {
        return Finding::unknown(CHECK, format!("{name}: its queues' interrupts cannot be seen"));
    }
    let targets = card.targets();
    let outside: Vec<usize> = targets.iter().copied().filter(|core| !facts.cores.contains(core)).collect();
    let queues = card.interrupts.len();
    let why = "a packet that one processor takes in and another answers crosses between their caches, and the interrupts \
               compete with whatever runs where they land";
    if !outside.is_empty() && facts.named {
        let found =
            format!("{name}: processors {} get them, the shards are on {}", shown(&outside), shown(&facts.cores));
        let finding = match facts.server.steer {
            Steer::Cpu => Finding::problem(CHECK, found, why),
            Steer::Hash => Finding::advice(CHECK, found, why),
        };
        return card.pin(&facts.cores, finding);
    }
    if targets.len() == 1 && queues > 1 && facts.cores.len() > 1 {
        let found = format!("{name}: all {queues} queues go to processor {}", targets[0]);
        let why = "that processor does the network's work for all, and its shard gets what is left";
        return card.pin(&facts.cores, Finding::advice(CHECK, found, why));
    }
    Finding::ok(CHECK, format!("{name}: {queues} for receiving, on {}", shown(&targets)))
}

/// The processors that packets of the queues of one kind are given to by `file`, for each queue where it can be read.
fn steered(facts: &Facts, card: &Card, kind: &str, file: &str) -> Vec<Vec<usize>> {
    let folder = format!("sys/class/net/{}/queues", card.name);
    let queues = facts.host.list(&folder).into_iter().filter(|queue| queue.starts_with(kind));
    queues.filter_map(|queue| facts.host.read(&format!("{folder}/{queue}/{file}"))).map(|mask| bits(&mask)).collect()
}

fn receive_steering(facts: &Facts, card: &Card) -> Finding {
    const CHECK: &str = "receive steering (RPS)";
    let name = &card.name;
    let masks = steered(facts, card, "rx-", "rps_cpus");
    if masks.is_empty() {
        return Finding::unknown(CHECK, format!("{name}: the kernel does not say"));
    }
    let on = masks.iter().any(|mask| !mask.is_empty());
    let set = |mask: &str| format!("for q in /sys/class/net/{name}/queues/rx-*; do echo {mask} > $q/rps_cpus; done");
    if on && card.receive > 1 && card.receive >= facts.cores.len() {
        let found = format!("{name}: on, though the card has {} queues of its own", card.receive);
        let why = "every packet is handed to a second processor by an interrupt between them, which the card's own queues \
                   make needless";
        return Finding::advice(CHECK, found, why).fix(set("0")).preset(IRQ_UNIT);
    }
    if !on && card.receive == 1 && facts.cores.len() > 2 {
        let found = format!("{name}: off, and one queue feeds {} shards", facts.cores.len());
        let why = "the processor that gets the one interrupt does the network's work for all shards";
        return Finding::advice(CHECK, found, why).fix(set(&mask(&facts.cores))).preset(IRQ_UNIT);
    }
    Finding::ok(CHECK, format!("{name}: {}", if on { "on" } else { "off, as the card's queues suffice" }))
}

fn send_steering(facts: &Facts, card: &Card) -> Finding {
    const CHECK: &str = "send steering (XPS)";
    let name = &card.name;
    if card.send <= 1 {
        return Finding::ok(CHECK, format!("{name}: one queue, nothing to choose"));
    }
    let masks = steered(facts, card, "tx-", "xps_cpus");
    if masks.is_empty() {
        return Finding::unknown(CHECK, format!("{name}: the kernel does not say"));
    }
    if masks.iter().any(|mask| !mask.is_empty()) {
        return Finding::ok(CHECK, format!("{name}: each processor has its queue"));
    }
    let why = "processors take any queue and wait for each other's locks";
    let mut finding = Finding::advice(CHECK, format!("{name}: off, with {} queues", card.send), why);
    for (queue, core) in facts.cores.iter().take(card.send.min(4)).enumerate() {
        finding = finding.fix(format!("echo {} > /sys/class/net/{name}/queues/tx-{queue}/xps_cpus", mask(&[*core])));
    }
    finding.preset(IRQ_UNIT)
}

/// The mask of these processors as the kernel reads it: `3`, `1,00000000`.
fn mask(cores: &[usize]) -> String {
    let words = cores.iter().max().map_or(1, |last| last / 32 + 1);
    let word = |number: usize| {
        let bits = cores.iter().filter(|core| **core / 32 == number);
        bits.fold(0_u32, |word, core| word | 1 << (core % 32))
    };
    let mut text = format!("{:x}", word(words - 1));
    for number in (0..words - 1).rev() {
        text.push_str(&format!(",{:08x}", word(number)));
    }
    text
}

fn balancer(facts: &Facts) -> Finding {
    const CHECK: &str = "irqbalance";
    let running = facts.host.process("irqbalance", "").is_some();
    match running {
        false => Finding::ok(CHECK, "it does not run"),
        true if facts.named || facts.server.steer == Steer::Cpu => {
            let why = "it moves interrupts as it sees fit, away from where they were pinned";
            Finding::advice(CHECK, "it runs", why).fix("systemctl disable --now irqbalance").preset(IRQ_UNIT)
        }
        true => Finding::ok(CHECK, "it runs, and spreads interrupts over all processors"),
    }
}

fn steering(facts: &Facts, cards: &[Card]) -> Finding {
    const CHECK: &str = "order of listeners";
    if facts.server.steer != Steer::Cpu {
        return Finding::ok(CHECK, "server.steer is hash: connections are spread whoever gets the interrupt");
    }
    let mut targets: Vec<usize> = cards.iter().flat_map(Card::targets).collect();
    targets.sort_unstable();
    targets.dedup();
    if targets.is_empty() {
        return Finding::unknown(CHECK, "server.steer is cpu, and nobody says which processors get the packets");
    }
    let why = "with server.steer: cpu a shard gets the connections whose packets its own processor receives, so one \
               without interrupts idles, and packets of other processors are dealt out by number";
    let idle: Vec<usize> = facts.cores.iter().copied().filter(|core| !targets.contains(core)).collect();
    let found = format!("server.steer is cpu; shards are on {}, packets on {}", shown(&facts.cores), shown(&targets));
    if facts.cores.len() > 200 {
        return Finding::problem(CHECK, format!("{found}: more than 200 shards cannot be told apart"), why)
            .fix("set `steer: hash` in the server section");
    }
    if idle.is_empty() && targets.iter().all(|core| facts.cores.contains(core)) {
        return Finding::ok(CHECK, found);
    }
    let finding = match idle.is_empty() {
        true => Finding::advice(CHECK, found, why),
        false => Finding::problem(CHECK, format!("{found}: {} would idle", shown(&idle)), why),
    };
    let finding = finding.fix(format!("anygate serve --cores {}", shown(&targets)));
    match cards.iter().find(|card| card.interrupts.len() >= facts.cores.len()) {
        Some(card) => card.pin(&facts.cores, finding),
        None => finding.fix("set `steer: hash` in the server section"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    const INTERRUPTS: &str = "           CPU0       CPU1
 28:          0          0 PCI-MSIX-0000:00:01.0   0-edge      virtio0-config
 37:          0          0 PCI-MSIX-0000:00:03.0   0-edge      virtio2-config
 38:          0      13231 PCI-MSIX-0000:00:03.0   1-edge      virtio2-input.0
 39:       9986          0 PCI-MSIX-0000:00:03.0   2-edge      virtio2-output.0
 40:          0      13231 PCI-MSIX-0000:00:03.0   3-edge      virtio2-input.1
";

    /// A card with two queues whose interrupts go to these processors.
    fn card(first: &'static str, second: &'static str) -> Vec<(&'static str, &'static str)> {
        vec![
            ("proc/interrupts", INTERRUPTS),
            ("sys/class/net/eth0/device/vendor", "0x1af4"),
            ("sys/class/net/eth0/device/msi_irqs/37", "msix"),
            ("sys/class/net/eth0/device/msi_irqs/38", "msix"),
            ("sys/class/net/eth0/device/msi_irqs/39", "msix"),
            ("sys/class/net/eth0/device/msi_irqs/40", "msix"),
            ("sys/class/net/eth0/queues/rx-0/rps_cpus", "00000000"),
            ("sys/class/net/eth0/queues/rx-1/rps_cpus", "00000000"),
            ("sys/class/net/eth0/queues/tx-0/xps_cpus", "00000001"),
            ("sys/class/net/eth0/queues/tx-1/xps_cpus", "00000002"),
            ("sys/class/net/lo/mtu", "65536"),
            ("proc/irq/37/smp_affinity_list", "7"),
            ("proc/irq/38/effective_affinity_list", first),
            ("proc/irq/39/effective_affinity_list", "6"),
            ("proc/irq/40/smp_affinity_list", second),
        ]
    }

    fn look(check_name: &str, cores: &[usize], files: &[(&str, &str)], change: impl FnOnce(&mut Facts)) -> Finding {
        let mut facts = Facts::made(cores, files);
        change(&mut facts);
        check(&facts).into_iter().find(|finding| finding.check == check_name).expect("there is such a check")
    }

    fn named(facts: &mut Facts) {
        facts.named = true;
    }

    fn by_cpu(facts: &mut Facts) {
        facts.server.steer = Steer::Cpu;
    }

    #[test]
    fn interrupts_elsewhere_than_the_shards_are_pinned_by_the_commands_that_are_told() {
        assert_eq!(look("interrupts", &[0, 1], &card("0", "1"), named).verdict, Verdict::Ok);
        let bad = look("interrupts", &[0, 1], &card("2", "3"), named);
        assert_eq!(
            (bad.verdict, bad.found.as_str()),
            (Verdict::Advice, "eth0: processors 2-3 get them, the shards are on 0-1")
        );
        assert_eq!(bad.fixes, ["echo 0 > /proc/irq/38/smp_affinity_list", "echo 1 > /proc/irq/40/smp_affinity_list"]);
        let worse = look("interrupts", &[0, 1], &card("2", "3"), |facts| {
            named(facts);
            by_cpu(facts);
        });
        assert_eq!(worse.verdict, Verdict::Problem);
        let one = look("interrupts", &[0, 1], &card("0", "0"), |_| ());
        assert_eq!((one.verdict, one.found.as_str()), (Verdict::Advice, "eth0: all 2 queues go to processor 0"));
        let dark = [("sys/class/net/eth0/device/vendor", "0x1af4")];
        assert_eq!(look("interrupts", &[0, 1], &dark, |_| ()).verdict, Verdict::Unknown);
        assert_eq!(look("network cards", &[0, 1], &[("sys/class/net/lo/mtu", "1")], |_| ()).verdict, Verdict::Ok);
    }

    #[test]
    fn receive_steering_is_for_cards_with_too_few_queues() {
        let check = "receive steering (RPS)";
        assert_eq!(look(check, &[0, 1], &card("0", "1"), |_| ()).verdict, Verdict::Ok);
        let mut on = card("0", "1");
        on[6].1 = "00000003";
        assert_eq!(look(check, &[0, 1], &on, |_| ()).verdict, Verdict::Advice);
        let single = [("sys/class/net/eth0/device/vendor", "1"), ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0")];
        assert_eq!(look(check, &[0, 1], &single, |_| ()).verdict, Verdict::Ok);
        let bad = look(check, &[0, 1, 2, 3], &single, |_| ());
        assert_eq!(bad.fixes, ["for q in /sys/class/net/eth0/queues/rx-*; do echo f > $q/rps_cpus; done"]);
        assert_eq!(look(check, &[0], &single[..1], |_| ()).verdict, Verdict::Unknown);
    }

    #[test]
    fn send_steering_gives_each_shard_its_queue() {
        let check = "send steering (XPS)";
        assert_eq!(look(check, &[0, 1], &card("0", "1"), |_| ()).verdict, Verdict::Ok);
        let mut off = card("0", "1");
        off[8].1 = "0";
        off[9].1 = "0";
        let bad = look(check, &[4, 33], &off, |_| ());
        assert_eq!(bad.verdict, Verdict::Advice);
        assert_eq!(bad.fixes[0], "echo 10 > /sys/class/net/eth0/queues/tx-0/xps_cpus");
        assert_eq!(bad.fixes[1], "echo 2,00000000 > /sys/class/net/eth0/queues/tx-1/xps_cpus");
        let single = [("sys/class/net/eth0/device/vendor", "1"), ("sys/class/net/eth0/queues/tx-0/tx_timeout", "0")];
        assert_eq!(look(check, &[0], &single, |_| ()).verdict, Verdict::Ok);
    }

    #[test]
    fn irqbalance_disturbs_who_pins() {
        let runs = ("proc/55/comm", "irqbalance\n");
        let with = || [card("0", "1"), vec![runs]].concat();
        assert_eq!(look("irqbalance", &[0, 1], &card("0", "1"), named).verdict, Verdict::Ok);
        assert_eq!(look("irqbalance", &[0, 1], &with(), |_| ()).verdict, Verdict::Ok);
        assert_eq!(look("irqbalance", &[0, 1], &with(), named).verdict, Verdict::Advice);
    }

    #[test]
    fn steering_by_processor_needs_interrupts_on_every_shard_s() {
        let check = "order of listeners";
        assert_eq!(look(check, &[0, 1], &card("0", "0"), |_| ()).verdict, Verdict::Ok);
        assert_eq!(look(check, &[0, 1], &card("0", "1"), by_cpu).verdict, Verdict::Ok);
        let bad = look(check, &[0, 1], &card("0", "0"), by_cpu);
        assert_eq!(bad.verdict, Verdict::Problem);
        assert_eq!(bad.found, "server.steer is cpu; shards are on 0-1, packets on 0: 1 would idle");
        assert_eq!(bad.fixes[0], "anygate serve --cores 0");
        assert_eq!(look(check, &[0], &card("0", "1"), by_cpu).verdict, Verdict::Advice);
        let dark = [("sys/class/net/eth0/device/vendor", "0x1af4")];
        assert_eq!(look(check, &[0, 1], &dark, by_cpu).verdict, Verdict::Unknown);
    }

    #[test]
    fn what_is_no_queue_is_told_by_its_name() {
        for name in ["virtio2-config", "ena-mgmnt@pci:0000:00:05.0-mgmt", "mlx5_async0@pci:1-async", "i40e-0000:misc"] {
            let is = is_queue(name);
            assert_eq!(is, name.starts_with("i40e"), "{name}");
        }
        for name in ["virtio2-input.0", "eth0-TxRx-3", "ens5-Tx-Rx-0", "mlx5_comp3@pci:0000:01:00.0"] {
            assert!(is_queue(name), "{name}");
        }
    }
}
