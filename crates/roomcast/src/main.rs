//! The `roomcast` command. Under construction.
fn main() {}
