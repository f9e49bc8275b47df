//! TLS: who is trusted, and that everything goes on inside it as it does outside.

use roomcast_client::{Builder, Raw, SetupError, Status, Transport};
use serde_json::json;

use crate::support::{Proxy, Server, client_of, joined, numbers, say, soon, until};

/// By a name, or by an address: a certificate can have both.
fn clients_of(server: &Server) -> [Builder; 2] {
    let port = server.address.port();
    [client_of(&format!("https://localhost:{port}")), client_of(&format!("wss://127.0.0.1:{port}/ws"))]
}

on_each_transport! {
    a_certificate_that_is_trusted_is_talked_to,
    a_connection_that_is_cut_is_made_anew,
}

async fn a_certificate_that_is_trusted_is_talked_to(by: Transport) {
    let (server, certificate) = Server::with_tls();
    for client in clients_of(&server) {
        let client = client.transports([by]).root_certificates(certificate.as_bytes()).connect().unwrap();
        let mut room = client.join::<Raw>("general").await.unwrap();
        joined(&mut room).await;
        // Larger than what TLS writes at once.
        for n in 0..20 {
            soon(room.send(&say("text", json!({"n": n, "padding": "x".repeat(50_000)})))).await.unwrap();
        }
        assert_eq!(numbers(&mut room, 20).await, (0..20).collect::<Vec<_>>());
        assert_eq!(soon(client.close()).await.code, None);
    }
}

async fn a_connection_that_is_cut_is_made_anew(by: Transport) {
    let (server, certificate) = Server::with_tls();
    let proxy = Proxy::before(&server).await;
    let url = format!("https://localhost:{}", proxy.address.port());
    let client =
        client_of(&url).transports([by]).root_certificates(certificate.as_bytes()).connect().unwrap();
    let mut room = client.join::<Raw>("general").await.unwrap();
    joined(&mut room).await;
    for n in 0..10 {
        let message = room.voice().post(&say("text", json!({"n": n}))).await.unwrap();
        if n % 3 == 0 {
            proxy.cut();
        }
        soon(message.ack()).await.unwrap();
    }
    assert_eq!(numbers(&mut room, 10).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_talked_to() {
    let (server, _) = Server::with_tls();
    let (_, another) = Server::with_tls();
    let [client, _] = clients_of(&server);
    let client = client.root_certificates(another.as_bytes()).connect().unwrap();
    let waiting = |status: &Status| matches!(status, Status::Waiting { .. });
    let Status::Waiting { cause, .. } = until(&client, waiting).await else { panic!() };
    let cause = cause.to_string();
    assert!(cause.starts_with("no TLS with localhost:") && cause.contains("certificate"), "{cause}");
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_with_it() {
    let server = Server::open();
    let (_, certificate) = Server::with_tls();
    let [client, _] = clients_of(&server);
    let client = client.root_certificates(certificate.as_bytes()).connect().unwrap();
    let waiting = |status: &Status| matches!(status, Status::Waiting { .. });
    let Status::Waiting { cause, .. } = until(&client, waiting).await else { panic!() };
    assert!(cause.to_string().starts_with("no TLS with localhost:"), "{cause}");
}

#[tokio::test]
async fn a_root_that_is_no_certificate_is_refused_in_words() {
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let client = client_of("https://localhost").root_certificates(broken.as_bytes());
    let Err(SetupError::Tls(why)) = client.connect() else { panic!("set up") };
    assert!(why.contains("is no PEM"), "{why}");
}
