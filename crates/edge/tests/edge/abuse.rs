//! Clients that mean ill or are slow cost little, and good ones do not notice.

use crate::common::*;
use std::io::Write;
use std::time::{Duration, Instant};

fn stays_well(seawall: &Seawall) {
    let asked = Instant::now();
    assert_eq!(seawall.get("/good").text(), "/good");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[test]
fn heads_and_bodies_that_trickle_are_cut_off_and_others_served() {
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    let began = Instant::now();
    let mut slow: Vec<Client> = (0..100).map(|_| seawall.client()).collect();
    for (n, client) in slow.iter_mut().enumerate() {
        client.send(match n % 2 {
            0 => "GET / HTTP/1.1\r\nHost: a.test\r\nX: ",
            _ => "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\n",
        });
    }
    // A head has a deadline as a whole; a byte now and then does not put it off.
    while began.elapsed() < Duration::from_millis(500) {
        for client in slow.iter_mut().step_by(2) {
            let _ = client.stream.write_all(b"x");
        }
        stays_well(&seawall);
        std::thread::sleep(Duration::from_millis(50));
    }
    for client in &mut slow {
        let said = client.rest();
        assert!(said.starts_with("HTTP/1.1 408 "), "{said:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    stays_well(&seawall);
}

#[test]
fn who_does_not_take_an_answer_is_let_go() {
    let origin =
        Origin::answering(|r| if r.path() == "/good" { ok("/good") } else { ok(vec![b'x'; 32 << 20]) });
    let seawall = Seawall::before(&origin);
    let mut readers: Vec<Client> = (0..5).map(|_| seawall.client()).collect();
    for reader in &mut readers {
        reader.send("GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n");
    }
    eventually("all were let go", || {
        stays_well(&seawall);
        seawall.metric("seawall_client_timeouts_total{phase=\"write\"}") == 5.0
    });
    drop(readers);
}

#[test]
fn idle_connections_end_at_their_time() {
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    let mut silent = seawall.client();
    let mut used = seawall.client();
    used.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(used.answer().status, 200);
    let began = Instant::now();
    assert!(silent.is_closed() && used.is_closed());
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!(seawall.metric("seawall_client_timeouts_total{phase=\"idle\"}"), 1.0);
}

#[test]
fn connections_beyond_the_limit_are_turned_away_until_there_is_room() {
    let origin = Origin::echoing();
    let seawall = Seawall::with(&zone(&origin), |site| site.edge.limits.connections = 5);
    let mut held: Vec<Client> = (0..5).map(|_| seawall.client()).collect();
    for client in &mut held {
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    assert!(seawall.client().is_closed());
    assert_eq!(seawall.metric("seawall_refusals_total{reason=\"connection_limit\"}"), 1.0);
    held.clear();
    eventually("there is room", || {
        let mut client = seawall.client();
        let _ = client.stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        client.rest().starts_with("HTTP/1.1 200 ")
    });
}

#[test]
fn garbage_of_every_kind_is_answered_or_dropped_and_forgotten() {
    let origin = Origin::echoing();
    let seawall = Seawall::before(&origin);
    let mut seed = 0x1234_5678_9abc_def1u64;
    for n in 0..200 {
        let bytes: Vec<u8> = (0..n * 7 % 600)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed as u8
            })
            .collect();
        let tcp = Client::socket(seawall.http);
        let mut client = Client::over(tcp.try_clone().unwrap());
        let _ = client.stream.write_all(&bytes);
        let _ = tcp.shutdown(std::net::Shutdown::Write);
        let said = client.rest();
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 4") || said.starts_with("HTTP/1.1 505 "),
            "{said:?}"
        );
    }
    assert_eq!(origin.connections(), 0);
    stays_well(&seawall);
}
