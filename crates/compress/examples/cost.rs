//! CPU per byte of every coding, for the choices in `Coding::DYNAMIC` and `Coding::STATIC`.
//!
//! `cargo --config profile.dev.package.seawall-compress.opt-level=3 run -p seawall-compress --example cost [FILE]…`
//! (dependencies are optimised in the dev profile, but Brotli's generic code is built here). Without files it makes up
//! its own bodies.

use seawall_compress::{Coding, Encoder, Pool, compress_whole};
use std::time::Instant;

fn main() {
    println!(
        "{:<20} {:>8} {:<6} {:>11} {:>10} {:>10} {:>7}",
        "body", "bytes", "coding", "way", "µs", "ns/byte", "ratio"
    );
    let mut bodies: Vec<(String, Vec<u8>)> = std::env::args()
        .skip(1)
        .filter_map(|path| Some((path.rsplit('/').next()?.into(), std::fs::read(&path).ok()?)))
        .collect();
    if bodies.is_empty() {
        for bytes in [1_000, 10_000, 100_000, 1_000_000] {
            bodies.extend([("json".into(), json(bytes)), ("html".into(), html(bytes))]);
        }
    }
    for (name, body) in bodies {
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            let mut pool = Pool::new();
            row(&name, &body, coding, "pooled", || {
                let mut encoder = pool.take(coding).ok()?;
                let out = encode(&mut encoder, &body);
                pool.put(encoder);
                out
            });
            row(&name, &body, coding, "new", || encode(&mut Encoder::new(coding).ok()?, &body));
            row(&name, &body, coding, "whole", || compress_whole(&body, coding).ok());
        }
    }
    memory();
}

/// Resident memory of one encoder in the middle of a long body.
fn memory() {
    const MANY: usize = 32;
    let body = html(1_000_000);
    for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
        let before = resident_kib();
        let mut held = Vec::with_capacity(MANY);
        for _ in 0..MANY {
            if let Ok(mut encoder) = Encoder::new(coding) {
                body.chunks(16 << 10).for_each(|chunk| {
                    let _ = encoder.write(chunk, &mut Vec::new());
                });
                held.push(encoder);
            }
        }
        println!("{:<6} {} KiB an encoder", coding.name(), (resident_kib() - before) / MANY as u64);
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or("");
    line.trim().split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn encode(encoder: &mut Encoder, body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(8192);
    for chunk in body.chunks(16 << 10) {
        encoder.write(chunk, &mut out).ok()?;
    }
    encoder.finish(&mut out).ok()?;
    Some(out)
}

fn row(name: &str, body: &[u8], coding: Coding, way: &str, mut run: impl FnMut() -> Option<Vec<u8>>) {
    let coded = run().unwrap_or_default();
    let rounds = (2_000_000 / body.len()).clamp(2, 300);
    let best = (0..3)
        .map(|_| {
            let start = Instant::now();
            (0..rounds).for_each(|_| drop(run()));
            start.elapsed().as_secs_f64() / rounds as f64
        })
        .fold(f64::MAX, f64::min);
    println!(
        "{name:<20.20} {:>8} {:<6} {way:>11} {:>10.1} {:>10.2} {:>6.1}%",
        body.len(),
        coding.name(),
        best * 1e6,
        best * 1e9 / body.len() as f64,
        coded.len() as f64 * 100.0 / body.len() as f64,
    );
}

/// Records with ids, names and times, as an interface would list them.
fn json(bytes: usize) -> Vec<u8> {
    let mut seed = 1;
    grow(bytes, || {
        let (a, b) = (next(&mut seed), next(&mut seed));
        format!(
            "{{\"id\":{a},\"name\":\"{} {}\",\"created_at\":\"2026-0{}-1{}T0{}:{:02}:00Z\",\"active\":{},\"score\":{}.{}}},\n",
            word(a),
            word(b),
            a % 9 + 1,
            b % 9,
            a % 10,
            b % 60,
            a % 2 == 0,
            b % 100,
            a % 1000,
        )
    })
}

/// Prose between tags.
fn html(bytes: usize) -> Vec<u8> {
    let mut seed = 2;
    grow(bytes, || {
        let words: Vec<_> = (0..next(&mut seed) % 30 + 5).map(|_| word(next(&mut seed))).collect();
        format!(
            "<p class=\"body-{}\"><a href=\"/{}\">{}</a></p>\n",
            next(&mut seed) % 8,
            word(next(&mut seed)),
            words.join(" ")
        )
    })
}

fn grow(bytes: usize, mut piece: impl FnMut() -> String) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 512);
    while out.len() < bytes {
        out.extend_from_slice(piece().as_bytes());
    }
    out.truncate(bytes);
    out
}

fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 40
}

/// Words of a made-up language of 400, the short ones oftener.
fn word(n: u64) -> String {
    const PARTS: [&str; 20] = [
        "sea", "wall", "tide", "ro", "ten", "mi", "lan", "der", "qua", "vis", "or", "ken", "pul", "at",
        "sho", "re", "um", "bel", "fin", "gra",
    ];
    let part = |i: u64| PARTS.get((i % 20) as usize).copied().unwrap_or("");
    if n.is_multiple_of(3) { part(n / 3).into() } else { format!("{}{}", part(n / 7), part(n / 11)) }
}
