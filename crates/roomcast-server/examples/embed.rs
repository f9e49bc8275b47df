//! Roomcast inside somebody's own axum app: `cargo run --example embed -- 127.0.0.1:3000`, then connect to
//! `ws://127.0.0.1:3000/realtime/ws`. Everybody may do everything.

use std::{env, io, net::SocketAddr, sync::Arc};

use axum::{Router, routing::get};
use roomcast_hub::Hub;
use roomcast_protocol::Grants;
use roomcast_server::{
    App,
    auth::{Authenticator, Origins},
    router,
};

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let realtime = App {
        hub: Hub::builder().build(),
        authenticator: Arc::new(Authenticator {
            anonymous: Arc::new(Grants::all()),
            named_guests: true,
            ..Authenticator::default()
        }),
        origins: Origins::loopback(),
        cookie: None,
        playground: true,
        pin: None,
    };
    let app = Router::new()
        .route("/", get(|| async { "an app of your own; its live part is at /realtime/ws" }))
        .nest("/realtime", router(Arc::new(realtime)));
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await
}
