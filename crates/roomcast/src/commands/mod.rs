//! One module for each command: its flags, and what it does with them.

pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod dev;
pub(crate) mod init;
pub(crate) mod layers;
pub(crate) mod publish;
pub(crate) mod serve;
pub(crate) mod subscribe;
pub(crate) mod token;
pub(crate) mod verify;
