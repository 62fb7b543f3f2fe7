//! `anygate cert`: a certificate to try TLS with, and its key, as files.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anygate_serve::tls::self_signed;

use crate::args::Cert;
use crate::report::{self, plural};

/// Who may read the files.
const FOR_ALL: u32 = 0o644;
const FOR_ME: u32 = 0o600;

/// Reads a name that a certificate may be for: an address, or a host's name, whose first label may be `*`.
pub(crate) fn name(text: &str) -> Result<String, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let rest = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(valid)
    };
    if rest.len() <= 253 && rest.split('.').all(label) {
        return Ok(text.to_ascii_lowercase());
    }
    let help =
        if text.is_ascii() { "write `app.test`, `*.app.test` or an address" } else { "write its form `xn--…`" };
    Err(format!("neither a host's name nor an address; {help}"))
}

pub(crate) fn run(arguments: &Cert) -> ExitCode {
    let mut names: Vec<&str> = arguments.names.iter().map(String::as_str).collect();
    if names.is_empty() {
        names.extend(self_signed::NAMES);
    }
    let [cert, key] = files(&arguments.out, names[0]);
    if let Some(there) = [&cert, &key].into_iter().find(|file| !arguments.force && file.symlink_metadata().is_ok()) {
        report::complain(&format!("`{}` is there already", there.display()));
        report::advise("`--force` writes over it, and `--out FOLDER` takes another folder");
        return report::REFUSED.into();
    }
    let (now, _) = anygate_shard::wall_clock();
    let pair = match self_signed::make_for(&names, arguments.days, now) {
        Ok(pair) => pair,
        Err(why) => {
            report::complain(&why);
            return report::REFUSED.into();
        }
    };
    // The key comes first: a server that looks for pairs finds both.
    for (file, text, mode) in [(&key, &pair.key, FOR_ME), (&cert, &pair.cert, FOR_ALL)] {
        if let Err(error) = write(file, text, mode) {
            report::complain(&format!("cannot write `{}`: {error}", file.display()));
            return report::REFUSED.into();
        }
    }
    report::say(&said(&cert, &key, &names, arguments.days));
    report::OK
}

/// The files of a certificate for this name first of all.
fn files(folder: &Path, name: &str) -> [PathBuf; 2] {
    let stem = name.replace('*', "_wildcard").replace(':', "-");
    let folder = folder.strip_prefix(".").unwrap_or(folder);
    [".crt", ".key"].map(|end| folder.join(format!("{stem}{end}")))
}

/// Puts a file in place whole, for those alone who may read it from the beginning.
fn write(file: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut new = file.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let written = || {
        let mut out = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        out.set_permissions(Permissions::from_mode(mode))?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&new, file)
    };
    written().inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })
}

/// What was made, and what to do with it.
fn said(cert: &Path, key: &Path, names: &[&str], days: u64) -> String {
    let (cert, key, mut text) = (cert.display().to_string(), key.display().to_string(), String::new());
    let (wide, list) = (cert.len().max(key.len()), names.join(", "));
    let _ = writeln!(
        text,
        "{cert:wide$}  a certificate for {list}, for {}; nobody vouches for it",
        plural(days as usize, "day")
    );
    let _ = writeln!(text, "{key:wide$}  its key, which only you may read\n");
    let _ = writeln!(text, "In anygate.yml (where paths start at the file's own folder):\n");
    let _ = writeln!(text, "  server:\n    listen: [{{addr: \":8443\", tls: true}}]");
    let _ = writeln!(text, "  tls:\n    certificates: {{cert: {cert}, key: {key}}}\n");
    let host = match names[0].strip_prefix("*.") {
        Some(rest) => format!("www.{rest}"),
        None if names[0].contains(':') => format!("[{}]", names[0]),
        None => names[0].to_owned(),
    };
    let _ = writeln!(text, "And a client that trusts it:\n\n  curl --cacert {cert} https://{host}:8443/");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_hosts_name_or_an_address_and_never_a_path() {
        for (text, read) in [
            ("App.Test", "app.test"),
            ("*.app.test", "*.app.test"),
            ("127.0.0.1", "127.0.0.1"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("my_host", "my_host"),
        ] {
            assert_eq!(name(text).as_deref(), Ok(read));
        }
        for text in ["", "*", "a..b", "../a", "a/b", "*.*.a", "a.*", "n\u{e4}me", "a b", ".", &"a.".repeat(200)] {
            assert!(name(text).is_err(), "{text}");
        }
        assert!(name("n\u{e4}me").unwrap_err().contains("xn--"));
    }

    #[test]
    fn files_are_named_after_the_first_name() {
        let named = |name| files(Path::new("x"), name).map(|file| file.display().to_string());
        assert_eq!(named("localhost"), ["x/localhost.crt", "x/localhost.key"]);
        assert_eq!(named("*.app.test")[0], "x/_wildcard.app.test.crt");
        assert_eq!(named("::1")[1], "x/--1.key");
        assert_eq!(files(Path::new("."), "a")[0], Path::new("a.crt"));
    }
}
