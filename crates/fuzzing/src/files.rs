//! Files of the cache's disk tier.

use rapidhash::v3::rapidhash_v3;
use seawall_cachestore::fuzz_files;

/// Bytes as they are, and as the head of an entry whose checksum is right: a checksum keeps damage out, not malice.
pub fn cache_files(data: &[u8]) {
    let (entry, log) = fuzz_files(data);
    assert!(!(entry && log), "an entry is a purge log");
    let _ = fuzz_files(&entry_around(data));
}

/// A head's file without a body, as `crates/cachestore/src/codec.rs` describes it.
fn entry_around(head: &[u8]) -> Vec<u8> {
    let mut out = b"SWcache1".to_vec();
    out.extend_from_slice(&[7; 16]);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&u32::MAX.to_le_bytes());
    out.extend_from_slice(&u32::try_from(head.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&0u64.to_le_bytes());
    let checksum = [&out[..], head, &[]].iter().fold(0u64, |before, part| {
        let mut block = before.to_le_bytes().to_vec();
        block.extend_from_slice(&rapidhash_v3(part).to_le_bytes());
        rapidhash_v3(&block)
    });
    out.extend_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(head);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_made_here_get_past_the_checksum() {
        // Sequence, time, length, status, flags (whole), no labels, no fields, three empty texts.
        let mut head = vec![0; 24];
        head.extend_from_slice(&200u16.to_le_bytes());
        head.push(2);
        head.extend_from_slice(&[0; 2 + 2 + 12]);
        assert_eq!(fuzz_files(&entry_around(&head)), (true, false), "the format changed: follow it here");
    }
}
