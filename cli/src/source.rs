//! Where does the configuration come from: a file, the command line, or what is built in?

use std::path::{Path, PathBuf};

use anygate_core::config::{Disk, Env, Format, Loaded, Loader};

use crate::args;

/// Files that are looked for in the current folder, in this order.
const NAMES: [&str; 4] = ["anygate.yml", "anygate.yaml", "anygate.toml", "anygate.json"];
/// What is served without any configuration.
const DEFAULT: &str = include_str!("default.yml");
/// Its page, and the variable that stands for it.
const PAGE: &str = include_str!("default.html");
const PAGE_VARIABLE: &str = "ANYGATE_PAGE";

/// Where the configuration comes from. It is decided once: a reload reads the same place again.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    place: Place,
    rules: Vec<String>,
    self_signed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Rules,
    Default,
}

impl Source {
    /// Decides by the arguments and by what lies in `folder`, the current one.
    pub(crate) fn choose(arguments: args::Source, folder: &Path) -> Self {
        let found = || NAMES.iter().map(PathBuf::from).find(|name| folder.join(name).is_file());
        let place = match arguments.config.or_else(found) {
            Some(path) => Place::File(path),
            None if arguments.rules.is_empty() => Place::Default,
            None => Place::Rules,
        };
        Self { place, rules: arguments.rules, self_signed: false }
    }

    /// The same, where a certificate that the server makes stands in for none.
    pub(crate) fn self_signed(self, self_signed: bool) -> Self {
        Self { self_signed, ..self }
    }

    /// What a person would call it.
    pub(crate) fn name(&self) -> String {
        match &self.place {
            Place::File(path) => path.display().to_string(),
            Place::Rules => "the rules of the command line".to_owned(),
            Place::Default => "the built-in default".to_owned(),
        }
    }

    /// Reads it, now.
    pub(crate) fn load(&self) -> Loaded {
        let mut env = environment();
        if self.place == Place::Default {
            env.insert(PAGE_VARIABLE.to_owned(), PAGE.replace("{version}", env!("CARGO_PKG_VERSION")));
        }
        let loader = Loader { env: &env, rules: &self.rules, files: &Disk, self_signed: self.self_signed };
        let text = |name, text| loader.text(name, text, Format::Yaml, Path::new(""));
        match &self.place {
            Place::File(path) => loader.file(path),
            Place::Rules => text("defaults", ""),
            Place::Default => text("default.yml", DEFAULT),
        }
    }
}

/// The process's variables; one whose name or value is not UTF-8 cannot be meant for us.
fn environment() -> Env {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(config: Option<&str>, rules: &[&str]) -> args::Source {
        args::Source { config: config.map(PathBuf::from), rules: rules.iter().map(|rule| (*rule).to_owned()).collect() }
    }

    #[test]
    fn a_named_file_wins_over_one_that_lies_here_and_that_over_rules_alone() {
        let folder = std::env::temp_dir().join(format!("anygate-source-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(Source::choose(arguments(None, &[]), &folder).place, Place::Default);
        assert_eq!(Source::choose(arguments(None, &["/: OK"]), &folder).place, Place::Rules);
        std::fs::write(folder.join("anygate.toml"), "").unwrap();
        std::fs::write(folder.join("anygate.json"), "").unwrap();
        let file = |name: &str| Place::File(name.into());
        assert_eq!(Source::choose(arguments(None, &["/: OK"]), &folder).place, file("anygate.toml"));
        assert_eq!(Source::choose(arguments(Some("x.yml"), &[]), &folder).place, file("x.yml"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_default_loads_listens_on_loopback_and_shows_its_version() {
        let loaded = Source { place: Place::Default, rules: Vec::new(), self_signed: false }.load();
        assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
        let config = loaded.config.expect("it is good");
        assert_eq!(config.server.listen[0].addr.to_string(), "127.0.0.1:8080");
        assert!(config.routes[0].action.text.contains(env!("CARGO_PKG_VERSION")));
    }
}
