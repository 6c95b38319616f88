//! The demo site on a real socket.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // a test that fails panics

use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

struct Site {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

fn start() -> Site {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(seawall_ui::demo::serve(listener, async { drop(stopped.await) }));
    Site { address, stop, task }
}

/// Sends a request and reads until the other side closes, or until what came ends with `until`.
async fn talk(site: &Site, request: &[u8], until: &str) -> String {
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut out = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n =
            tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await.unwrap().unwrap();
        out.extend_from_slice(&buffer[..n]);
        if n == 0 || (!until.is_empty() && String::from_utf8_lossy(&out).ends_with(until)) {
            return String::from_utf8_lossy(&out).into_owned();
        }
    }
}

#[tokio::test]
async fn a_page_comes_with_its_length() {
    let site = start();
    let answer =
        talk(&site, b"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nConnection: close\r\n\r\n", "").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
}

#[tokio::test]
async fn events_come_one_by_one() {
    let site = start();
    let answer = talk(&site, b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n", "}\n\n\r\n").await;
    assert!(
        answer.contains("content-type: text/event-stream") && answer.contains("id: 1\nevent: tick\ndata: {"),
        "{answer}"
    );
    assert!(!answer.contains("id: 2"));
}

#[tokio::test]
async fn an_upload_is_answered_with_its_digest() {
    let site = start();
    let request = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    let answer = talk(&site, request, "").await;
    assert!(answer.contains("\"bytes\":3"), "{answer}");
    assert!(answer.contains("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), "{answer}");
}

#[tokio::test]
async fn a_large_body_has_the_length_that_was_asked_for() {
    let site = start();
    let answer = talk(&site, b"GET /large?mb=3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-length: 3145728") && body.len() == 3 << 20);
}

#[tokio::test]
async fn a_head_request_gets_no_body() {
    let site = start();
    let answer = talk(&site, b"HEAD /large?mb=3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "").await;
    assert!(answer.contains("content-length: 3145728") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_socket_sends_back_what_it_gets_and_closes_when_asked() {
    let site = start();
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}/ws", site.address)).await.unwrap();
    for message in
        [Message::text("ahoy"), Message::binary(vec![0, 255, 7]), Message::text("x".repeat(60_000))]
    {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.send(Message::Ping(vec![1].into())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong(vec![1].into()));
    socket.close(None).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
    assert!(socket.next().await.is_none());
}

#[tokio::test]
async fn a_message_too_long_ends_the_socket() {
    let site = start();
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}/ws", site.address)).await.unwrap();
    let _ = socket.send(Message::binary(vec![0; 70_000])).await;
    let answer = socket.next().await;
    assert!(!matches!(answer, Some(Ok(Message::Binary(_) | Message::Text(_)))), "{answer:?}");
}

#[tokio::test]
async fn stopping_ends_soon_even_with_a_stream_open() {
    let site = start();
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut one = [0];
    stream.read_exact(&mut one).await.unwrap();
    site.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), site.task).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(site.address).await.is_err());
}
