//! The client against the real server, over connections that are cut in every way.

// A test that can't go on should stop there.
#![allow(clippy::unwrap_used)]

/// Makes a test of each function for each transport, which it is given.
macro_rules! on_each_transport {
    ($($test:ident),* $(,)?) => {
        on_each_transport!(websocket WebSocket: $($test),*);
        on_each_transport!(events Events: $($test),*);
        on_each_transport!(poll Poll: $($test),*);
    };
    ($module:ident $transport:ident: $($test:ident),*) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(roomcast_client::Transport::$transport).await;
                }
            )*
        }
    };
}

/// The same, but for polls: between two of them the server knows of nobody.
macro_rules! on_each_connection {
    ($($test:ident),* $(,)?) => {
        on_each_transport!(connected_by_websocket WebSocket: $($test),*);
        on_each_transport!(connected_by_events Events: $($test),*);
    };
}

mod access;
mod conversation;
mod disconnects;
mod guide;
mod support;
mod tls;
mod transports;
mod types;
