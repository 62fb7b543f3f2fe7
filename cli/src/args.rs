//! What may be said on the command line?

use std::path::PathBuf;

use anygate_core::config::{CoreList, Io, ListenAddr};
use anygate_serve::tls::self_signed;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};

/// Said under every `--help`, because scripts need it.
const EXIT_CODES: &str = "\
Exit codes:
  0  it went well; a server was told to stop and finished what it had
  1  the configuration is refused, or a check failed
  2  the command line was not understood
  3  the server cannot start: an address is in use, a core is not there, a limit is too low
  4  the server ran and ended by a fault of its own: start it again, and please report the log's last lines";

const LOOKUP: &str = "\
Without -c, the first of anygate.yml, anygate.yaml, anygate.toml and anygate.json in the current folder is read. If there \
is none, the -r rules are all there is; and without those, a small default answers on 127.0.0.1:8080: a page at /, /ok and \
/echo.";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// One line a rule: reverse proxy, static and SPA server, fixed answers and echo.
///
/// AnyGate reads rules such as `"/api/": "http://127.0.0.1:9000"` or `"/": "./dist/"`, and serves them on every core of
/// this machine. Start with `anygate serve`.
#[derive(Debug, Parser)]
#[command(name = "anygate", version, styles = STYLES, after_help = EXIT_CODES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Serve),
    Check(Check),
    Routes(Routes),
    Explain(Explain),
    Doctor(Doctor),
    Bench(crate::bench::Bench),
    Cert(Cert),
    /// Print the JSON Schema of the configuration file, for editors.
    #[command(after_help = EXAMPLE_SCHEMA)]
    Schema,
    Completions(Completions),
    Man(Man),
}

const EXAMPLE_SCHEMA: &str = "\
Example:
  anygate schema > anygate.schema.json
  and as the first line of anygate.yml:
  # yaml-language-server: $schema=./anygate.schema.json";

/// Where the configuration comes from: the same for every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Source {
    /// The configuration file: .yml, .yaml, .toml or .json
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A rule, before those of the file; may be given several times
    #[arg(short, long = "rule", value_name = "HEAD: ACTION")]
    pub(crate) rules: Vec<String>,
}

/// Serve until told to stop.
///
/// SIGTERM and SIGINT stop accepting, finish what is in flight for at most `server.drain_timeout`, and exit with 0. SIGHUP
/// reads the configuration again: one that does not check leaves the old one running.
#[derive(Debug, Args)]
#[command(after_help = format!("{LOOKUP}\n\n{EXAMPLE_SERVE}\n\n{EXIT_CODES}"))]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Listen here instead of where the file says: `:8080`, `127.0.0.1:80`, `[::1]:80`, `unix:/run/anygate.sock`; may be
    /// given several times
    #[arg(short, long, value_name = "ADDR")]
    pub(crate) listen: Vec<ListenAddr>,
    /// Run on these processors, one thread each: `all`, `0-7`, `0,2,4-6`
    #[arg(long, value_name = "LIST")]
    pub(crate) cores: Option<CoreList>,
    /// How to talk to the kernel: `auto` takes io_uring and falls back to epoll; with `uring` there is no fallback
    #[arg(long, value_name = "auto|uring|epoll")]
    pub(crate) io: Option<Io>,
    /// Speak TLS, by a certificate for this machine that is made at the start and is gone at the end: for trying things out
    #[arg(long)]
    pub(crate) tls_self_signed: bool,
}

const EXAMPLE_SERVE: &str = "\
Examples:
  anygate serve
  anygate serve -c /etc/anygate/anygate.yml --cores 0-3
  anygate serve -r '/: ./dist/' -r '/api/: http://127.0.0.1:9000' --listen :3000
  anygate serve --tls-self-signed";

/// Check the configuration and the expectations in it.
///
/// Every error and warning is reported in one run, with its line and what would be right. Names of upstreams are looked up,
/// unless told not to; one that cannot be found is a warning, because its routes answer 503 until it can.
#[derive(Debug, Args)]
#[command(after_help = format!("{LOOKUP}\n\n{EXAMPLE_CHECK}\n\n{EXIT_CODES}"))]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) source: Source,
    /// List the pairs of rules that some request fits at once, each with such a request and the rule that gets it
    #[arg(long)]
    pub(crate) overlaps: bool,
    /// Look up no names
    #[arg(long)]
    pub(crate) offline: bool,
}

const EXAMPLE_CHECK: &str = "\
Examples:
  anygate check
  anygate check -c anygate.yml --overlaps";

/// Print the rules as a tree of hosts and paths.
#[derive(Debug, Args)]
#[command(after_help = format!("{LOOKUP}\n\n{EXIT_CODES}"))]
pub(crate) struct Routes {
    #[command(flatten)]
    pub(crate) source: Source,
}

/// Tell what would happen to a request, and why: nothing is sent.
///
/// Says which rule wins and what its parameters are, why each other rule that is near lost, which filters run, and where the
/// request goes: which file, which URL behind, which answer.
#[derive(Debug, Args)]
#[command(after_help = format!("{LOOKUP}\n\n{EXAMPLE_EXPLAIN}\n\n{EXIT_CODES}"))]
pub(crate) struct Explain {
    /// Method and target: `GET http://host/path`, `GET host/path` or `GET /path`; `/path` alone means GET
    #[arg(value_name = "REQUEST")]
    pub(crate) request: String,
    /// A header field of the request, such as `Host: example.com`; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    #[command(flatten)]
    pub(crate) source: Source,
}

const EXAMPLE_EXPLAIN: &str = "\
Examples:
  anygate explain 'GET http://api.example.com/users/42'
  anygate explain 'POST /users' -H 'Host: api.example.com'
  anygate explain https://www.example.com/
  anygate explain /deep/link -H 'Accept: text/html'";

/// Look at this machine, and say what keeps the server from being fast and how to put it right.
///
/// Checks limits, queues, ports, processors, interrupts, memory and io_uring against the configuration and the cores that it
/// runs on. Each finding says what is wrong, why that matters, the command that puts it right, and the preset that does so
/// for good. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = format!("{LOOKUP}\n\n{EXAMPLE_DOCTOR}\n\n{EXIT_CODES}"))]
pub(crate) struct Doctor {
    /// The configuration file, as with -c
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) source: Source,
    /// The processors it is to run on: `all`, `0-7`, `0,2,4-6`
    #[arg(long, value_name = "LIST")]
    pub(crate) cores: Option<CoreList>,
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// A folder that stands for the machine
    #[arg(long, value_name = "FOLDER", hide = true)]
    pub(crate) root: Option<PathBuf>,
}

const EXAMPLE_DOCTOR: &str = "\
Examples:
  anygate doctor
  anygate doctor --cores 0-3 /etc/anygate/anygate.yml
  anygate doctor --json | jq '.findings[] | select(.verdict == \"problem\")'";

/// Make a certificate for development, with its key.
///
/// Writes `NAME.crt` and `NAME.key`, of which only you may read the key. Nobody vouches for the certificate: who connects
/// trusts that very file, or is warned.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLE_CERT}\n\n{EXIT_CODES}"))]
pub(crate) struct Cert {
    /// Sign it with its own key: there is no other way yet
    #[arg(long, required = true)]
    pub(crate) self_signed: bool,
    /// Names and addresses it is for, and the files are named after the first; without any: localhost, 127.0.0.1 and ::1
    #[arg(value_name = "NAME", value_parser = crate::cert::name)]
    pub(crate) names: Vec<String>,
    /// For how long it is valid
    #[arg(long, value_name = "N", default_value_t = self_signed::DAYS, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    pub(crate) days: u64,
    /// The folder they are written to
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(crate) out: PathBuf,
    /// Write over files that are there
    #[arg(long)]
    pub(crate) force: bool,
}

const EXAMPLE_CERT: &str = "\
Examples:
  anygate cert --self-signed
  anygate cert --self-signed app.test '*.app.test' 192.168.1.20 --out /etc/tls --days 30";

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE_COMPLETIONS)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

const EXAMPLE_COMPLETIONS: &str = "\
Examples:
  anygate completions bash > ~/.local/share/bash-completion/completions/anygate
  anygate completions fish > ~/.config/fish/completions/anygate.fish";

/// Print a manual page.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE_MAN)]
pub(crate) struct Man {
    /// The command the page is for; without one, that of `anygate` itself
    pub(crate) command: Option<String>,
}

const EXAMPLE_MAN: &str = "\
Examples:
  anygate man | man -l -
  anygate man serve > anygate-serve.1";
