//! The fuzz targets' checks over their committed corpus, streams cut in several ways.

#[allow(unreachable_pub, reason = "the file is the library of the fuzz targets")]
#[path = "../../../fuzz/src/lib.rs"]
mod checks;

use std::fs;
use std::path::Path;

/// Runs `check` on every file of a target's corpus.
fn each(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths: Vec<_> = files.map(|file| file.expect("a readable folder").path()).collect();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    for path in paths {
        println!("{}", path.display()); // shown if the check panics
        check(&fs::read(&path).expect("a readable file"));
    }
}

#[test]
fn streams() {
    each("decode", |data| (0..16).for_each(|seed| checks::decode(data, seed)));
}

#[test]
fn compression() {
    each("compress", checks::compress);
}

#[test]
fn handshakes() {
    each("handshake", checks::handshake);
}
