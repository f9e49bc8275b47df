//! What holds over an orderly stop and a new start.

use roomcast_engine_disk::Settings;
use roomcast_hub::engine::conformance;

use crate::support::Directories;

#[test]
fn does_what_every_engine_must() {
    let directories = Directories::default();
    conformance::check(&|| Box::new(directories.fresh(Settings::default())));
}

#[test]
fn does_it_without_a_message_in_memory() {
    let directories = Directories::default();
    let settings = Settings { tail_bytes_max: 0, ..Settings::default() };
    conformance::check(&|| Box::new(directories.fresh(settings)));
}
