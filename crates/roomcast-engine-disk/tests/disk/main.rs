//! The engine with a disk from outside: what every engine must do, what a restart keeps, and what damage does.

mod restarts;
mod support;
