//! `anygate doctor`, on machines that a folder stands for and on the one it runs on.

use super::rig::{Folder, Ran};

/// A machine that is in order, with three shards' worth of processors and a card with three queues.
const GOOD: &[(&str, &str)] = &[
    ("proc/self/limits", "Max open files  1048576  1048576  files\nMax locked memory  536870912  536870912  bytes\n"),
    ("proc/self/status", "Name:\tanygate\nSeccomp:\t0\nCpus_allowed_list:\t0-2\n"),
    ("proc/self/cgroup", "0::/system.slice/anygate.service\n"),
    ("proc/sys/kernel/osrelease", "6.18.5\n"),
    ("proc/sys/kernel/io_uring_disabled", "0\n"),
    ("proc/sys/net/core/somaxconn", "16384\n"),
    ("proc/interrupts", " 30: 1 PCI-MSIX eth0-TxRx-0\n 31: 1 PCI-MSIX eth0-TxRx-1\n 32: 1 PCI-MSIX eth0-TxRx-2\n"),
    ("proc/irq/30/smp_affinity_list", "0\n"),
    ("proc/irq/31/smp_affinity_list", "1\n"),
    ("proc/irq/32/smp_affinity_list", "2\n"),
    ("sys/class/net/eth0/device/msi_irqs/30", "msix\n"),
    ("sys/class/net/eth0/device/msi_irqs/31", "msix\n"),
    ("sys/class/net/eth0/device/msi_irqs/32", "msix\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
];

fn machine(changes: &[(&str, &str)]) -> Folder {
    let folder = Folder::with("server: {steer: cpu}\nroutes:\n  /: OK\n");
    for (path, text) in GOOD.iter().chain(changes) {
        folder.write(&format!("root/{path}"), text);
    }
    folder
}

fn doctor(folder: &Folder, arguments: &[&str]) -> Ran {
    folder.run(&[&["doctor", "--root", "root"], arguments].concat())
}

#[test]
fn a_machine_in_order_has_no_problem_and_exits_with_0() {
    let ran = doctor(&machine(&[]), &[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert!(ran.out.contains("\n0 problems, "), "{}", ran.out);
    assert!(ran.out.contains("net.core.somaxconn is 16,384, server.backlog 4,096"), "{}", ran.out);
    assert!(!ran.out.contains('\u{1b}'), "no colours when nobody looks: {}", ran.out);
}

#[test]
fn a_problem_is_told_with_its_reason_and_its_command_and_exits_with_1() {
    let ran = doctor(&machine(&[("proc/sys/net/core/somaxconn", "128\n")]), &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let paragraph = "\
problem  accept queue
         found  net.core.somaxconn is 128, less than server.backlog, which is 4,096
         why    the kernel cuts server.backlog down to it, and in a burst of new connections drops
                those that find the queue full: their clients try again after a second
         fix    sysctl -w net.core.somaxconn='4096'
         always packaging/tuning/sysctl.d/90-anygate.conf
";
    assert!(ran.out.contains(paragraph), "{}", ran.out);
    assert!(ran.out.contains("\n1 problem, "), "{}", ran.out);
}

#[test]
fn cores_are_held_against_interrupts_and_permissions() {
    let folder = machine(&[]);
    let ran = doctor(&folder, &["--cores", "0-1"]);
    assert_eq!(ran.code, 1, "a third processor gets packets: {ran:?}");
    assert!(ran.out.contains("eth0: processors 2 get them, the shards are on 0-1"), "{}", ran.out);
    assert!(ran.out.contains("echo 0 > /proc/irq/30/smp_affinity_list"), "{}", ran.out);
    let ran = doctor(&folder, &["--cores", "0-5"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("this shell may use 0-2, and 3-5 is wanted"), "{}", ran.out);
}

#[test]
fn the_configuration_decides_what_is_needed() {
    let folder = machine(&[]);
    folder.write("large.yml", "server: {max_connections: 2000000}\nroutes:\n  /: OK\n");
    for arguments in [&["large.yml"][..], &["-c", "large.yml"]] {
        let ran = doctor(&folder, arguments);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.out.contains("may have 1,048,576, and server.max_connections is 2,000,000"), "{}", ran.out);
    }
    folder.write("bad.yml", "routes:\n  /: OOK\n");
    let ran = doctor(&folder, &["bad.yml"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(ran.err.contains("bad.yml:2:6"), "{}", ran.err);
    assert_eq!(doctor(&folder, &["large.yml", "-c", "bad.yml"]).code, 2);
}

#[test]
fn a_program_gets_the_findings_as_json() {
    let folder = machine(&[("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n")]);
    let ran = doctor(&folder, &["--json"]);
    assert_eq!(ran.code, 0, "advice is no problem: {ran:?}");
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let findings = value["findings"].as_array().unwrap();
    let huge = findings.iter().find(|finding| finding["check"] == "transparent huge pages").unwrap();
    assert_eq!(huge["verdict"], "advice");
    assert_eq!(huge["fix"][0], "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
    assert_eq!(huge["preset"], "packaging/tuning/tmpfiles.d/anygate-hugepages.conf");
    let counted: u64 = value["counts"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(counted as usize, findings.len());
}

#[test]
fn a_machine_that_says_nothing_is_unknown_and_no_problem() {
    let folder = Folder::new();
    folder.write("root/empty", "");
    let ran = doctor(&folder, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert!(ran.out.contains("unknown  "), "{}", ran.out);
}

#[test]
fn this_very_machine_is_looked_at_without_a_fault() {
    let ran = Folder::new().run(&["doctor"]);
    assert!(matches!(ran.code, 0 | 1), "{ran:?}");
    assert_eq!(ran.err, "");
    let works = anygate_shard::probe_uring().is_ok();
    assert_eq!(ran.out.lines().any(|line| line.starts_with("ok ") && line.contains("it works")), works, "{}", ran.out);
}

#[test]
fn every_preset_that_is_named_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let source = root.join("cli/src/doctor");
    let mut count = 0;
    for entry in std::fs::read_dir(source).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for word in text.split('"').filter(|word| {
            let folder = word.split_once('/').map_or("", |(folder, _)| folder);
            ["sysctl.d", "systemd", "tmpfiles.d", "udev", "bin"].contains(&folder) && word.len() > 12
        }) {
            assert!(root.join("packaging/tuning").join(word).is_file(), "{word}");
            count += 1;
        }
    }
    assert!(count >= 5, "only {count} were found");
}

/// Interrupts and queues of a card, in a folder, given to processors by the script.
#[test]
fn the_script_pins_each_queue_to_a_processor_of_its_own() {
    let folder = machine(&[
        (
            "proc/interrupts",
            " 29: 1 PCI eth0-config\n 30: 1 PCI eth0-rx-0\n 31: 1 PCI eth0-tx-0\n 32: 1 PCI eth0-rx-1\n",
        ),
        ("sys/class/net/eth0/device/msi_irqs/29", "msix"),
        ("proc/irq/29/smp_affinity_list", "7\n"),
        ("proc/irq/31/smp_affinity_list", "7\n"),
        ("sys/class/net/eth0/queues/tx-0/xps_cpus", "0\n"),
        ("sys/class/net/eth0/queues/tx-1/xps_cpus", "0\n"),
        ("sys/class/net/eth0/queues/tx-2/xps_cpus", "ff\n"),
    ]);
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/tuning/bin/anygate-irq");
    let pin = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&script);
        Ran::of(command.args(arguments).env("ROOT", folder.path().join("root")).output().unwrap())
    };
    let ran = pin(&["eth0", "2,36"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let read = |path: &str| std::fs::read_to_string(folder.path().join("root").join(path)).unwrap().trim().to_owned();
    let irq = |number: u32| read(&format!("proc/irq/{number}/smp_affinity_list"));
    assert_eq!([irq(29), irq(30), irq(31), irq(32)], ["7", "2", "7", "36"]);
    let queue = |number: u32| read(&format!("sys/class/net/eth0/queues/tx-{number}/xps_cpus"));
    assert_eq!([queue(0), queue(1), queue(2)], ["4", "10,00000000", "0"]);
    assert_eq!(pin(&["lo", "0"]).code, 1);
    for bad in ["a", "0-", "-3", "0-1-2", "0;reboot"] {
        assert_eq!(pin(&["eth0", bad]).code, 2, "{bad}");
    }
    assert_eq!(pin(&[]).code, 2);
}
