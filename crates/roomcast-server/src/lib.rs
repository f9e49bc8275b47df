//! The server's doors: HTTP, transports, tokens and origins, in front of a hub. Reads no environment, no files
//! and no signals; that is for whoever embeds it.

pub mod auth;
