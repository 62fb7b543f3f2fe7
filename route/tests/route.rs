//! The route language as a whole.

#[path = "route/expectations.rs"]
mod expectations;
#[path = "route/golden.rs"]
mod golden;
#[path = "route/naive.rs"]
mod naive;
#[path = "route/overview.rs"]
mod overview;
#[path = "route/properties.rs"]
mod properties;
#[path = "route/refused.rs"]
mod refused;
#[path = "route/refused_actions.rs"]
mod refused_actions;
#[path = "route/refused_heads.rs"]
mod refused_heads;
#[path = "route/scale.rs"]
mod scale;
#[path = "route/text.rs"]
mod text;
