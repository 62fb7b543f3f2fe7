//! What does the `static` section say: how are files served?

use super::proxy::put;
use crate::config::schema;

/// Settings of a static route. `compress` other than `off` belongs to a later version.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(deny_unknown_fields, default, transform = schema::compress)]
pub struct Static {
    /// Files that stand for a directory, the first that exists.
    #[schemars(extend("default" = ["index.html"]))]
    pub index: Vec<String>,
    /// Whether the root's index answers for paths that no file has: `auto` for navigations only.
    #[schemars(extend("default" = "auto"))]
    pub spa: Spa,
    /// Whether `file.br` and its like are served to those who accept them. Only `false` in this version.
    #[schemars(extend("default" = false, "const" = false))]
    pub precompressed: bool,
    /// The `Cache-Control` of files: `auto`, `off` for none, or a value.
    #[schemars(with = "String", extend("default" = "auto"))]
    pub cache_control: CacheControl,
    /// Whether a directory without an index is listed. Only `false` in this version.
    #[schemars(extend("default" = false, "const" = false))]
    pub listing: bool,
    /// Whether names that begin with a dot are served; `.well-known` always is.
    #[schemars(extend("default" = "deny"))]
    pub hidden: Hidden,
    /// Which symbolic links are followed: those that stay `inside` the directory, all (`follow`), or none (`deny`).
    #[schemars(extend("default" = "inside"))]
    pub symlinks: Symlinks,
}

/// Static settings of a group or a rule; `None` leaves what was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StaticOverrides {
    /// See [`Static::index`].
    pub index: Option<Vec<String>>,
    /// See [`Static::spa`].
    pub spa: Option<Spa>,
    /// See [`Static::precompressed`].
    pub precompressed: Option<bool>,
    /// See [`Static::cache_control`].
    pub cache_control: Option<CacheControl>,
    /// See [`Static::listing`].
    pub listing: Option<bool>,
    /// See [`Static::hidden`].
    pub hidden: Option<Hidden>,
    /// See [`Static::symlinks`].
    pub symlinks: Option<Symlinks>,
}

/// Whether the root's index answers for paths that no file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, schemars::JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Spa {
    /// For navigations: a browser that asks for a page, not for a file.
    #[default]
    Auto,
    /// For every path.
    On,
    /// For none.
    Off,
}

/// The `Cache-Control` of files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CacheControl {
    /// `no-cache` for pages, long and immutable for files with a hash in their name.
    #[default]
    Auto,
    /// None.
    Off,
    /// This value for every file.
    Value(String),
}

/// Whether names that begin with a dot are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, schemars::JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Hidden {
    /// Never (404), but for `.well-known`.
    #[default]
    Deny,
    /// As any other.
    Allow,
}

/// Which symbolic links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, schemars::JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Symlinks {
    /// Those that stay inside the directory.
    #[default]
    Inside,
    /// All.
    Follow,
    /// None.
    Deny,
}

impl Default for Static {
    fn default() -> Self {
        Self {
            index: vec!["index.html".to_owned()],
            spa: Spa::Auto,
            precompressed: false,
            cache_control: CacheControl::Auto,
            listing: false,
            hidden: Hidden::Deny,
            symlinks: Symlinks::Inside,
        }
    }
}

impl StaticOverrides {
    /// Writes what is given over `statics`.
    pub fn apply(&self, statics: &mut Static) {
        put(&mut statics.index, &self.index);
        put(&mut statics.spa, &self.spa);
        put(&mut statics.precompressed, &self.precompressed);
        put(&mut statics.cache_control, &self.cache_control);
        put(&mut statics.listing, &self.listing);
        put(&mut statics.hidden, &self.hidden);
        put(&mut statics.symlinks, &self.symlinks);
    }
}
