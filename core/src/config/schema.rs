//! What may a configuration file hold? Its JSON Schema, made from the model's types.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Declares a type that exists only as the schema of a value's text.
macro_rules! text {
    ($(#[doc = $doc:literal])* $name:ident, $schema:tt) => {
        $(#[doc = $doc])*
        pub(super) struct $name;

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
    Time, {"description": "A duration: `250ms`, `5s`, `1m`, `2h`, `7d`, `1y`."}
);
text!(
    /// A duration, or none.
    TimeOrOff, {"description": "A duration, or `off`."}
);
text!(
    /// A size in bytes.
    Size, {"description": "A size: `512`, `4KiB`, `1MiB`, `16KB`."}
);
text!(
    /// Bytes a second.
    Rate, {"description": "A rate: `256B/s`, `1MiB/s`."}
);
text!(
    /// A list of processors.
    Cores, {"description": "`all`, `0-7`, `0,2,4-6`."}
);
text!(
    /// An address or a prefix.
    Prefix, {"type": "string", "description": "An address or a prefix."}
);
text!(
    /// Where to listen.
    Listen, {"type": "string", "description": "`:8080`, `127.0.0.1:80`, `unix:/path`."}
);

/// One value, or a list of them.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code)]
pub(super) enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}
