//! Source files that have grown long: a hint to the reader, never a failure.

use std::fs;
use std::path::{Path, PathBuf};

use crate::place;

const LINES_MAX: usize = 700;
const FOLDERS: [&str; 5] = ["crates", "xtask", "tests", "sdk", "examples"];
const KINDS: [&str; 5] = ["rs", "py", "mjs", "js", "ts"];
const NOT_OURS: [&str; 4] = ["node_modules", "target", "dist", ".venv"];

/// Names the files of more than [`LINES_MAX`] lines.
pub(crate) fn hint() {
    let root = place::root();
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut files);
    }
    for file in files {
        let lines = fs::read_to_string(&file).map_or(0, |text| text.lines().count());
        if lines > LINES_MAX {
            let shown = file.strip_prefix(&root).unwrap_or(&file).display();
            println!("    hint: {shown} has {lines} lines (more than {LINES_MAX}): is it two things?");
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !NOT_OURS.contains(&name.as_ref()) {
            collect(&path, files);
        } else if path.extension().is_some_and(|kind| KINDS.iter().any(|ours| kind == *ours)) {
            files.push(path);
        }
    }
}
