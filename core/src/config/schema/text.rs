//! Which texts stand for a duration, a size, a list of processors?

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Declares a type that exists only as the schema of a value's text.
macro_rules! text {
    ($(#[doc = $doc:literal])* $name:ident, $schema:tt) => {
        $(#[doc = $doc])*
        #[derive(Default)]
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

text!(
    /// A duration.
    Time,
    {
        "description": "A duration: `250ms`, `5s`, `1m`, `2h`, `7d`, `1y`.",
        "type": "string", "pattern": "^[0-9]+ *(ms|s|m|h|d|y)$",
    }
);
text!(
    /// A duration, or none.
    TimeOrOff,
    {
        "description": "A duration such as `60s`; 0 or `off` for none.",
        "type": ["string", "integer"], "pattern": "^([0-9]+ *(ms|s|m|h|d|y)|0|off)$", "maximum": 0, "minimum": 0,
    }
);
text!(
    /// A size in bytes.
    Size,
    {
        "description": "A size: `512`, `4KiB`, `1MiB`, `16KB`.",
        "type": ["string", "integer"], "pattern": "^[0-9]+ *([KMGT]i?B|B)?$", "minimum": 0,
    }
);
text!(
    /// Bytes a second.
    Rate,
    {
        "description": "A rate: `256B/s`, `1MiB/s`; 0 for none.",
        "type": ["string", "integer"], "pattern": "^([0-9]+ *([KMGT]i?B|B)/s|0)$", "maximum": 0, "minimum": 0,
    }
);
text!(
    /// A list of processors.
    Cores,
    {
        "description": "`all`, `0-7`, `0,2,4-6`.",
        "type": ["string", "integer"], "pattern": "^(all|[0-9]+(-[0-9]+)?(, *[0-9]+(-[0-9]+)?)*)$", "minimum": 0,
    }
);
text!(
    /// Nothing.
    Off,
    {
        "description": "`off`.",
        "type": "string", "const": "off",
    }
);
text!(
    /// An address or a prefix.
    Prefix,
    {
        "description": "An address or a prefix: `10.0.0.0/8`, `::1`.",
        "type": "string",
    }
);

/// `off`, or a mapping.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "OffOr{T}")]
#[expect(dead_code, reason = "only its shape counts")]
pub(crate) enum OffOr<T> {
    /// `off`.
    Off(Off),
    /// A mapping.
    On(T),
}

/// One value, or a list of them.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "OneOrMany{T}")]
#[expect(dead_code, reason = "only its shape counts")]
pub(crate) enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}
