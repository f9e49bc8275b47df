//! The server's doors: HTTP, transports, tokens and origins, in front of a hub. Reads no environment, no files
//! and no signals; that is for whoever embeds it.
//!
//! To embed, make an [`App`] around a hub and nest [`router`] in a router of your own; to run alone, [`serve`] it.

mod accept;
mod app;
pub mod auth;
mod http;
mod playground;
mod proxies;
mod query;
mod server;
mod tls;
mod websocket;

pub use app::{App, router};
pub use proxies::TrustedProxy;
pub use server::{Settings, serve};
pub use tls::{Tls, TlsError};
