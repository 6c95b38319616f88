//! What goes in comes out again, read by decoders that share no code with the encoders.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that fails panics

use proptest::prelude::*;
use seawall_compress::{Coding, EncodeError, Encoder, POOL_MAX_IDLE, Pool, WHOLE_MAX_BYTES, compress_whole};
use std::io::Read;

const ALL: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

/// Decodes as far as the bytes reach. Says whether the end of the coding was among them.
fn decode(coding: Coding, bytes: &[u8]) -> (Vec<u8>, bool) {
    fn drain(mut reader: impl Read) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let mut buffer = [0; 1024];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return (out, true),
                Ok(n) => out.extend_from_slice(&buffer[..n]),
                Err(_) => return (out, false),
            }
        }
    }
    match coding {
        Coding::Gzip => drain(flate2::read::GzDecoder::new(bytes)),
        Coding::Brotli => drain(brotli::Decompressor::new(bytes, 4096)),
        Coding::Zstd => drain(zstd::stream::read::Decoder::new(bytes).unwrap().single_frame()),
    }
}

/// Text as pages have it: words over and over, some noise.
fn page(bytes: usize) -> Vec<u8> {
    let mut seed = 7u32;
    let mut out = Vec::with_capacity(bytes + 32);
    while out.len() < bytes {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        out.extend_from_slice(
            format!("<li class=\"item-{}\">wall {:x}</li>\n", seed >> 29, seed >> 20).as_bytes(),
        );
    }
    out.truncate(bytes);
    out
}

fn chunks() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
    let text = (0usize..9000).prop_map(page);
    let noise = prop::collection::vec(any::<u8>(), 0..3000);
    prop::collection::vec((prop_oneof![text, noise], any::<bool>()), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..Default::default() })]

    #[test]
    fn chunks_and_flushes_in_any_order_decode_to_what_was_written(chunks in chunks()) {
        for coding in ALL {
            let mut encoder = Encoder::new(coding).unwrap();
            let (mut plain, mut coded) = (Vec::new(), Vec::new());
            for (chunk, flush) in &chunks {
                plain.extend_from_slice(chunk);
                encoder.write(chunk, &mut coded).unwrap();
                if *flush {
                    encoder.flush(&mut coded).unwrap();
                    let (so_far, _) = decode(coding, &coded);
                    prop_assert!(so_far == plain, "{coding:?}: {} of {} bytes after a flush", so_far.len(), plain.len());
                }
            }
            encoder.finish(&mut coded).unwrap();
            prop_assert!(decode(coding, &coded) == (plain, true), "{coding:?}");
        }
    }

    #[test]
    fn a_whole_body_decodes_to_itself(text in (0usize..40_000).prop_map(page), noise in prop::collection::vec(any::<u8>(), 0..2000)) {
        for coding in ALL {
            for body in [&text, &noise] {
                prop_assert!(decode(coding, &compress_whole(body, coding).unwrap()) == (body.clone(), true), "{coding:?}");
            }
        }
    }
}

#[test]
fn a_long_body_in_small_chunks_decodes_and_shrinks() {
    let body = page(3_000_000);
    for coding in ALL {
        let mut encoder = Encoder::new(coding).unwrap();
        let mut coded = Vec::new();
        for chunk in body.chunks(1400) {
            encoder.write(chunk, &mut coded).unwrap();
        }
        encoder.finish(&mut coded).unwrap();
        assert!(coded.len() < body.len() / 4, "{coding:?}: {}", coded.len());
        assert!(decode(coding, &coded) == (body.clone(), true), "{coding:?}");
    }
}

#[test]
fn an_empty_body_is_a_valid_coding_of_nothing() {
    for coding in ALL {
        let mut coded = Vec::new();
        Encoder::new(coding).unwrap().finish(&mut coded).unwrap();
        assert_eq!(decode(coding, &coded), (Vec::new(), true), "{coding:?}");
        assert_eq!(decode(coding, &compress_whole(&[], coding).unwrap()), (Vec::new(), true), "{coding:?}");
    }
}

#[test]
fn flushing_with_nothing_held_back_adds_next_to_nothing() {
    for coding in ALL {
        let mut encoder = Encoder::new(coding).unwrap();
        let mut coded = Vec::new();
        encoder.write(b"data: 1\n\n", &mut coded).unwrap();
        encoder.flush(&mut coded).unwrap();
        let before = coded.len();
        for _ in 0..10 {
            encoder.flush(&mut coded).unwrap();
        }
        assert!(
            coded.len() - before <= 60,
            "{coding:?}: {} bytes for ten empty flushes",
            coded.len() - before
        );
        encoder.finish(&mut coded).unwrap();
        assert_eq!(decode(coding, &coded), (b"data: 1\n\n".to_vec(), true), "{coding:?}");
    }
}

#[test]
fn nothing_is_taken_after_the_end() {
    for coding in ALL {
        let mut encoder = Encoder::new(coding).unwrap();
        let mut coded = Vec::new();
        encoder.finish(&mut coded).unwrap();
        let end = coded.len();
        assert_eq!(encoder.write(b"x", &mut coded), Err(EncodeError::Finished));
        assert_eq!(encoder.flush(&mut coded), Err(EncodeError::Finished));
        assert_eq!(encoder.finish(&mut coded), Err(EncodeError::Finished));
        assert_eq!(coded.len(), end);
    }
}

#[test]
fn an_encoder_from_the_pool_remembers_nothing_of_the_last_body() {
    let mut pool = Pool::new();
    for coding in ALL {
        for round in 0..4 {
            // Every other body is broken off in the middle, as when a client goes away.
            let mut encoder = pool.take(coding).unwrap();
            let body = page(1000 + round * 5000);
            let mut coded = Vec::new();
            encoder.write(&body, &mut coded).unwrap();
            if round % 2 == 0 {
                encoder.finish(&mut coded).unwrap();
                assert!(decode(coding, &coded) == (body, true), "{coding:?} {round}");
            }
            pool.put(encoder);
        }
        let many: Vec<_> = (0..2 * POOL_MAX_IDLE).map(|_| pool.take(coding).unwrap()).collect();
        many.into_iter().for_each(|e| pool.put(e));
    }
}

#[test]
fn a_body_too_long_to_encode_at_once_is_refused() {
    let body = vec![b'a'; WHOLE_MAX_BYTES + 1];
    assert_eq!(compress_whole(&body, Coding::Gzip), Err(EncodeError::TooLong));
}
