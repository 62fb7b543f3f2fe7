//! A machine of its own for one test: every port is free, and what stands at `/dist/` and in `/etc/hosts` is the test's.

use std::path::Path;
use std::process::Command;

use super::rig::Folder;

/// Stands in the root of such a machine, so that nothing here is ever done to a real one.
const MARK: &str = "/.a-test-s-own-root";

/// Makes the root: all that is there but `/dist` and `/etc`, which are new and empty but for what programs need to start.
const ROOT: &str = r#"
root=$1; shift
mount -t tmpfs tmpfs "$root"
for entry in /*; do
    name=${entry#/}
    case $name in dist|etc) continue ;; esac
    if [ -L "$entry" ]; then cp -P "$entry" "$root/$name"
    elif [ -d "$entry" ]; then mkdir "$root/$name"; mount --rbind "$entry" "$root/$name"
    fi
done
mkdir "$root/dist" "$root/etc"
for file in passwd group ld.so.cache; do
    if [ -e "/etc/$file" ]; then cp "/etc/$file" "$root/etc/$file"; fi
done
echo 'hosts: files' > "$root/etc/nsswitch.conf"
touch "$root/.a-test-s-own-root"
exec chroot "$root" "$@"
"#;

/// Runs a test in new mount and network namespaces, by starting this very program again there. `name` is the test's own;
/// names in `hosts` mean 127.0.0.1.
pub(super) fn alone(name: &str, hosts: &[&str], test: impl FnOnce()) {
    if Path::new(MARK).exists() {
        anygate_shard::testing::raise_loopback().unwrap();
        std::fs::write("/etc/hosts", format!("127.0.0.1 localhost {}\n", hosts.join(" "))).unwrap();
        return test();
    }
    let folder = Folder::new();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--propagation", "private"]);
    if !is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--", "sh", "-ec", ROOT, "root"]).arg(folder.path());
    command.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture", "--test-threads=1"]);
    let ran = command.output().expect("unshare is part of util-linux");
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(
        ran.status.success() && out.contains("1 passed"),
        "a machine of its own needs root, or user namespaces that are allowed:\n{out}{err}"
    );
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t0"))
}
