//! Are the shards near the memory and the network card they use?

use super::facts::Facts;
use super::finding::Finding;
use super::host::{Host, numbers, shown};
use super::nic;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    vec![near(facts)]
}

/// The memory nodes that have processors, each with those.
pub(super) fn nodes(host: &Host) -> Vec<(usize, Vec<usize>)> {
    let folder = "sys/devices/system/node";
    let named = host.list(folder).into_iter().filter_map(|name| Some((name.strip_prefix("node")?.parse().ok()?, name)));
    let cores = |name: &str| numbers(&host.read(&format!("{folder}/{name}/cpulist")).unwrap_or_default());
    named.map(|(number, name): (usize, String)| (number, cores(&name))).filter(|(_, cores)| !cores.is_empty()).collect()
}

fn near(facts: &Facts) -> Finding {
    const CHECK: &str = "memory nodes";
    let nodes = nodes(&facts.host);
    if nodes.is_empty() {
        return Finding::unknown(CHECK, "the kernel does not say");
    }
    if nodes.len() == 1 {
        return Finding::ok(CHECK, "one: everything is near");
    }
    let node_of = |core: &usize| nodes.iter().find(|(_, cores)| cores.contains(core)).map(|(node, _)| *node);
    for card in nic::cards(&facts.host) {
        let node = facts.host.read(&format!("sys/class/net/{card}/device/numa_node"));
        // -1 is nowhere in particular.
        let Some(node) = node.and_then(|text| text.parse::<usize>().ok()) else { continue };
        let far: Vec<usize> =
            facts.cores.iter().copied().filter(|core| node_of(core).is_some_and(|its| its != node)).collect();
        if !far.is_empty() {
            let found = format!("{card} is on node {node}, processors {} are on another", shown(&far));
            let why = "every packet crosses between the nodes, which takes about twice as long as near memory and shares \
                       one link with everybody";
            let near = nodes.iter().find(|(number, _)| *number == node).map(|(_, cores)| shown(cores));
            let finding = Finding::advice(CHECK, found, why);
            return match near {
                Some(cores) => finding.fix(format!("anygate serve --cores {cores}")),
                None => finding,
            };
        }
    }
    Finding::ok(CHECK, format!("{}; the shards are near their network cards", nodes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Verdict;

    const NODES: [(&str, &str); 2] =
        [("sys/devices/system/node/node0/cpulist", "0-3"), ("sys/devices/system/node/node1/cpulist", "4-7")];

    fn look(cores: &[usize], files: &[(&str, &str)]) -> Finding {
        near(&Facts::made(cores, files))
    }

    #[test]
    fn shards_on_another_node_than_the_card_are_told_where_to_go() {
        let card = |node| [NODES[0], NODES[1], ("sys/class/net/eth0/device/numa_node", node)];
        assert_eq!(look(&[0, 1], &card("0")).verdict, Verdict::Ok);
        assert_eq!(look(&[0, 1], &card("-1")).verdict, Verdict::Ok);
        let bad = look(&[2, 3, 4], &card("0"));
        assert_eq!(
            (bad.verdict, bad.found.as_str()),
            (Verdict::Advice, "eth0 is on node 0, processors 4 are on another")
        );
        assert_eq!(bad.fixes, ["anygate serve --cores 0-3"]);
    }

    #[test]
    fn one_node_is_near_and_none_is_unknown() {
        assert_eq!(look(&[0], &NODES[..1]).verdict, Verdict::Ok);
        assert_eq!(look(&[0], &[]).verdict, Verdict::Unknown);
    }
}
