//! What every engine must do, and every engine that keeps logs beyond its process.

use roomcast_engine_disk::Settings;
use roomcast_hub::engine::{Engine, conformance};

use crate::support::{Directories, open_with};

fn check(settings: Settings) {
    let directories = Directories::default();
    let open = |path: &std::path::Path| -> Box<dyn Engine> { Box::new(open_with(path, settings).unwrap()) };
    conformance::check(&|| open(&directories.fresh()));
    conformance::check_restarts(&|| {
        let path = directories.fresh();
        Box::new(move || open(&path))
    });
}

#[test]
fn keeps_every_promise() {
    check(Settings::default());
}

#[test]
fn keeps_them_without_a_message_in_memory() {
    check(Settings { tail_bytes_max: 0, ..Settings::default() });
}
