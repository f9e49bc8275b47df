//! The server's doors: HTTP, transports, tokens and origins, in front of a hub. Reads no environment, no files
//! and no signals; that is for whoever embeds it.
//!
//! To embed, make an [`App`] around a hub and nest [`router`] in a router of your own; to run alone, [`serve`] it.

mod accept;
mod app;
mod arrival;
pub mod auth;
mod http;
mod playground;
mod proxies;
mod query;
mod sdk;
mod server;
mod short_lived;
mod stall;
mod takeover;
mod tls;
mod websocket;
#[cfg_attr(not(feature = "webtransport"), path = "no_webtransport.rs")]
mod webtransport;

pub use app::{App, router};
pub use proxies::TrustedProxy;
pub use server::{Listeners, Settings, serve};
pub use short_lived::ShortLived;
pub use tls::{Pin, Tls, TlsError};
