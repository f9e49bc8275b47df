//! The reference page `docs/config.md`, made from the table of keys.

use super::{
    keys,
    reader::join,
    setting::{Key, Shape},
};

const HEAD: &str = "\
# Configuration

<!-- Made by `cargo run -p roomcast -- config --reference > docs/config.md`. Edit the tables of keys in
`crates/roomcast/src/config/settings.rs` instead. -->

`roomcast init` writes a `roomcast.toml` with every key, its meaning and its default; `roomcast check` finds
mistakes in it; `roomcast config` shows every value that holds and where it came from.

The file is the lowest layer. A variable wins over it: `ROOMCAST_`, then the key in capitals with `_` for each
dot, so `ROOMCAST_LIMITS_MESSAGE_BYTES_MAX` sets `limits.message_bytes_max`. A flag wins over both:
`--listen`, `--log`, `--log-format`, and `--set KEY=VALUE` for every other key.
In a variable or flag a list of texts is separated by commas; anything else is written as in the file.

Sizes are bytes and durations are seconds, as plain numbers. A key that doesn't exist is an error.
";

/// The whole page.
pub(crate) fn reference() -> String {
    let mut page = HEAD.to_owned();
    let keys = keys();
    let (tables, values): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.shape.keys().is_some());
    page.push_str("\n## At the top of the file\n\n");
    rows(&mut page, &values);
    for key in tables {
        section(&mut page, "", key);
    }
    page
}

fn section(page: &mut String, path: &str, key: &Key) {
    let path = join(path, key.name);
    let header =
        if matches!(key.shape, Shape::List(_)) { format!("[[{path}]]") } else { format!("[{path}]") };
    page.extend(["\n## `", &header, "`\n\n", &prose(key), "\n\n"]);
    let keys = key.shape.keys().unwrap_or_default();
    let (tables, values): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.shape.keys().is_some());
    rows(page, &values);
    for key in tables {
        section(page, &path, key);
    }
}

fn rows(page: &mut String, keys: &[&Key]) {
    page.push_str("| key | default | may be | meaning |\n|---|---|---|---|\n");
    for key in keys {
        let default = match (&key.default, key.required) {
            (Some(value), _) => format!("`{value}`"),
            (None, true) => "required".into(),
            (None, false) => "none".into(),
        };
        let cells = [&format!("`{}`", key.name), &default, &key.shape.expects(), &prose(key)];
        page.extend(cells.map(|cell| format!("| {cell} ")));
        page.push_str("|\n");
    }
}

fn prose(key: &Key) -> String {
    key.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
