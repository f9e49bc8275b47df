//! The progress bar, on a terminal only. It watches; the workers only move a number.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What is going on, for someone who waits.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Draws on standard error if that is a terminal.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new(1);
        // The template is constant and valid; without it the bar has another look.
        if let Ok(style) = ProgressStyle::with_template("{msg:24} {wide_bar} {pos:>7}/{len:7} {prefix}") {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// Connections are being opened.
    pub(crate) fn connecting(&self, target: &str, joined: u32, of: u32) {
        self.bar.set_prefix("joined");
        self.show(format!("{target}: connecting"), u64::from(joined), u64::from(of));
    }

    /// Something takes a known time.
    pub(crate) fn passing(&self, target: &str, what: &str, passed: Duration, of: Duration) {
        self.bar.set_prefix("s");
        self.show(format!("{target}: {what}"), passed.as_secs().min(of.as_secs()), of.as_secs());
    }

    fn show(&self, message: String, position: u64, length: u64) {
        self.bar.set_message(message);
        self.bar.set_length(length);
        self.bar.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
