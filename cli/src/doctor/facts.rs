//! What is the machine to do, by the configuration and the command line, and which process do we look at?

use anygate_core::config::{Config, CoreList, ListenAddr, Server, UpstreamAddr};
use anygate_route::{Action, Authority, Table};

use super::host::{Host, numbers};

/// Everything a check may ask.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) host: Host,
    /// The server's settings.
    pub(super) server: Server,
    /// The processors it is to run on.
    pub(super) cores: Vec<usize>,
    /// Whether they were named, not just all there are.
    pub(super) named: bool,
    /// Hosts of the servers behind, those behind unix sockets left out.
    pub(super) behind: Vec<String>,
    /// The server that runs, if there is just one.
    pub(super) running: Option<u32>,
    /// What became of an attempt to use io_uring; `None` where that cannot be tried.
    pub(super) uring: Option<Result<(), String>>,
}

impl Facts {
    /// The facts of `config` on `host`; `cores` wins over what the configuration says.
    pub(super) fn new(host: Host, config: &Config, table: Option<&Table>, cores: Option<&CoreList>) -> Self {
        let uring = host.is_here().then(anygate_shard::probe_uring);
        let running = host.process("anygate", "serve");
        let mut facts = Self {
            host,
            server: config.server.clone(),
            cores: Vec::new(),
            named: false,
            behind: hosts_behind(config, table),
            running,
            uring,
        };
        match cores.unwrap_or(&config.server.cores) {
            CoreList::These(cores) => (facts.cores, facts.named) = (cores.clone(), true),
            CoreList::All => facts.cores = facts.allowed(),
        }
        facts
    }

    /// A file of the process that is looked at: the server that runs, otherwise this one.
    pub(super) fn of_process(&self, file: &str) -> Option<String> {
        match self.running {
            Some(pid) => self.host.read(&format!("proc/{pid}/{file}")),
            None => self.host.read(&format!("proc/self/{file}")),
        }
    }

    /// Whose limits are told.
    pub(super) fn whose(&self) -> String {
        self.running.map_or_else(|| "this shell".to_owned(), |pid| format!("the running server (process {pid})"))
    }

    /// A line of the process's `status`.
    pub(super) fn status(&self, key: &str) -> Option<String> {
        let status = self.of_process("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(line.trim().to_owned())
    }

    /// The processors the process may use; all that are online where it does not say.
    pub(super) fn allowed(&self) -> Vec<usize> {
        let list = self.status("Cpus_allowed_list").or_else(|| self.host.read("sys/devices/system/cpu/online"));
        list.map_or_else(Vec::new, |list| numbers(&list))
    }

    /// Whether a server behind is on another machine.
    pub(super) fn is_behind_remote(&self) -> bool {
        self.behind.iter().any(|host| {
            let address = host.trim_start_matches('[').trim_end_matches(']');
            address != "localhost" && !address.starts_with("127.") && address != "::1"
        })
    }

    /// The TCP ports that are listened on.
    pub(super) fn ports(&self) -> Vec<u16> {
        let port = |addr: &ListenAddr| match addr {
            ListenAddr::Any(port) => Some(*port),
            ListenAddr::Ip(ip) => Some(ip.port()),
            ListenAddr::Unix(_) => None,
        };
        self.server.listen.iter().filter_map(|listen| port(&listen.addr)).collect()
    }
}

fn hosts_behind(config: &Config, table: Option<&Table>) -> Vec<String> {
    let mut hosts = Vec::new();
    for server in config.upstreams.iter().flat_map(|upstream| &upstream.servers) {
        if let UpstreamAddr::Tcp { host, .. } = &server.addr {
            hosts.push(host.to_string());
        }
    }
    for rule in table.map_or(&[][..], Table::rules) {
        let Action::Proxy(targets) = &rule.action else { continue };
        for target in targets {
            if let Authority::Host { host, .. } = &target.authority {
                hosts.push(host.to_string());
            }
        }
    }
    hosts.sort();
    hosts.dedup();
    hosts
}

#[cfg(test)]
impl Facts {
    /// The facts of a machine with these files, on which a configuration without wishes runs on `cores`.
    pub(super) fn made(cores: &[usize], files: &[(&str, &str)]) -> Self {
        let mut facts = Self::new(Host::made(files), &Config::default(), None, None);
        facts.cores = cores.to_vec();
        facts
    }
}

#[cfg(test)]
mod tests {
    use anygate_core::config;

    use super::*;

    fn config(text: &str) -> Config {
        config::load_text("test.yml", text, &config::Env::new(), &[]).config.expect("it is good")
    }

    #[test]
    fn the_command_line_s_cores_win_over_the_file_s_and_those_over_what_is_allowed() {
        let status = ("proc/self/status", "Name:\tanygate\nCpus_allowed_list:\t0-3\n");
        let file = config("server: {cores: 2-3}\nroutes: {}\n");
        let of = |config: &Config, list| Facts::new(Host::made(&[status]), config, None, list);
        assert_eq!(of(&Config::default(), None).cores, [0, 1, 2, 3]);
        assert!(!of(&Config::default(), None).named);
        assert_eq!(of(&file, None).cores, [2, 3]);
        let facts = of(&file, Some(&CoreList::These(vec![1])));
        assert!(facts.named && facts.cores == [1]);
        let online = Host::made(&[("sys/devices/system/cpu/online", "0-1\n")]);
        assert_eq!(Facts::new(online, &Config::default(), None, None).cores, [0, 1]);
    }

    #[test]
    fn servers_behind_are_near_or_far() {
        let near = config("upstreams: {a: {servers: [\"127.0.0.1:1\", \"unix:/x\"]}}\nroutes: {}\n");
        let far = config("upstreams: {a: {servers: [\"127.0.0.1:1\", \"10.0.0.1:1\"]}}\nroutes: {}\n");
        let of = |config: &Config| Facts::new(Host::made(&[]), config, None, None);
        assert_eq!(of(&near).behind, ["127.0.0.1"]);
        assert!(!of(&near).is_behind_remote() && of(&far).is_behind_remote());
    }

    #[test]
    fn the_running_server_s_files_are_read_instead_of_ours() {
        let files = [
            ("proc/self/limits", "ours"),
            ("proc/9/comm", "anygate"),
            ("proc/9/cmdline", "anygate\0serve\0"),
            ("proc/9/limits", "its"),
        ];
        assert_eq!(Facts::made(&[0], &files).of_process("limits").as_deref(), Some("its"));
        assert_eq!(Facts::made(&[0], &files[..1]).of_process("limits").as_deref(), Some("ours"));
    }
}
