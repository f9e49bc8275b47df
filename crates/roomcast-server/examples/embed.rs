//! Roomcast inside somebody's own axum app, a shop whose orders everybody sees live: `cargo run --example embed`, then
//! open <http://127.0.0.1:3000> in two windows. Rooms are at `/realtime`, where everybody may do everything.

use std::{
    env, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    extract::State,
    response::Html,
    routing::{get, post},
};
use http::StatusCode;
use roomcast_hub::{Hub, Publication, Publisher, RoomError};
use roomcast_protocol::{Data, Grants, Publish};
use roomcast_server::{
    App,
    auth::{Authenticator, Origins},
    router,
};
use serde_json::{json, value::to_raw_value};

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let hub = Hub::builder().build();
    let app = Router::new()
        .route("/", get(|| async { Html(include_str!("embed.html")) }))
        .route("/orders", post(order))
        .with_state(hub.clone())
        .nest("/realtime", router(Arc::new(realtime(hub))));
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await
}

/// The live part. What a user may do would come from tokens; `Authenticator` has keys for them.
fn realtime(hub: Hub) -> App {
    App {
        hub,
        authenticator: Arc::new(Authenticator {
            anonymous: Arc::new(Grants::all()),
            named_guests: true,
            ..Authenticator::default()
        }),
        origins: Origins::loopback(),
        cookie: None,
        playground: true,
        pin: None,
    }
}

/// A handler of the app's own, which tells a room what has happened.
async fn order(State(hub): State<Hub>) -> Result<StatusCode, (StatusCode, String)> {
    static ORDERS: AtomicU64 = AtomicU64::new(1);
    let number = ORDERS.fetch_add(1, Ordering::Relaxed);
    let told = tell(&hub, "orders", "order", &json!({ "number": number })).await;
    told.map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error.message))?;
    Ok(StatusCode::CREATED)
}

/// Publishes as a back end does, which may name any author or none.
async fn tell(hub: &Hub, room: &str, kind: &str, data: &serde_json::Value) -> Result<(), RoomError> {
    let raw = to_raw_value(data).expect("a value is JSON");
    let data = Data::read(&raw, hub.limits().json_depth_max).expect("an object of our own");
    let publish = Publish { kind: kind.into(), data, volatile: false };
    let publication = Publication { id: None, publish: &publish, publisher: Publisher::Backend("shop") };
    hub.room(room)?.publish(&publication).await?;
    Ok(())
}
