//! What the cache remembers of a stored response, so that a hit parses nothing.

use thiserror::Error;

/// Bytes of a [`Stored`] on disk.
pub const STORED_LEN: usize = 44;

const VERSION: u8 = 1;

/// Yes-or-no facts of a stored response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// `no-cache`: every use needs a validation.
    pub const NO_CACHE: Flags = Flags(1);
    /// `must-revalidate` or `proxy-revalidate`: never served stale.
    pub const MUST_REVALIDATE: Flags = Flags(1 << 1);
    /// `s-maxage`: served stale only where the response itself grants a window (RFC 9111 §5.2.2.10, RFC 5861).
    pub const S_MAXAGE: Flags = Flags(1 << 2);
    /// The lifetime is the cache's own choice: an extension's default, an edge TTL or a heuristic.
    pub const ASSIGNED: Flags = Flags(1 << 3);
    /// An ETag is among the fields.
    pub const ETAG: Flags = Flags(1 << 4);
    /// A valid Last-Modified is among the fields.
    pub const LAST_MODIFIED: Flags = Flags(1 << 5);
    /// Last-Modified is a strong validator (RFC 9110 §8.8.2.2): at least a second older than Date.
    pub const STRONG_DATE: Flags = Flags(1 << 6);
    /// `immutable` (RFC 8246).
    pub const IMMUTABLE: Flags = Flags(1 << 7);
    /// The stale windows are the response's own, not the policy's.
    pub const OWN_WINDOWS: Flags = Flags(1 << 8);

    const ALL: u16 = (1 << 9) - 1;

    /// Whether all of `flags` are set.
    #[must_use]
    #[inline]
    pub fn has(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Sets `flags` if `on`.
    #[must_use]
    pub fn with(self, flags: Flags, on: bool) -> Flags {
        if on { Flags(self.0 | flags.0) } else { self }
    }
}

/// Times and flags of one stored response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// When the response came, unix milliseconds.
    pub response_time_ms: u64,
    /// Its age at that time: `corrected_initial_age` of RFC 9111 §4.2.3, in milliseconds.
    pub initial_age_ms: u64,
    /// Last-Modified, else Date, else arrival: what If-Modified-Since is compared with (§4.3.2). Unix seconds.
    pub modified_s: u64,
    /// Freshness lifetime in seconds.
    pub lifetime_s: u32,
    /// Stale-while-revalidate window in seconds (RFC 5861 §3).
    pub stale_while_revalidate_s: u32,
    /// Stale-if-error window in seconds (RFC 5861 §4).
    pub stale_if_error_s: u32,
    /// Status code.
    pub status: u16,
    /// Facts.
    pub flags: Flags,
}

/// Why bytes are no [`Stored`]. The disk is to blame; the object is to be dropped, a retry does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Fewer or more bytes than the record has.
    #[error("record of the wrong length")]
    Length,
    /// Written by another version.
    #[error("record of an unknown version")]
    Version,
    /// Values no version writes.
    #[error("record with impossible values")]
    Value,
}

impl Stored {
    /// `current_age` in milliseconds (RFC 9111 §4.2.3). A clock that ran backwards counts as standing still.
    #[must_use]
    #[inline]
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        self.initial_age_ms.saturating_add(now_ms.saturating_sub(self.response_time_ms))
    }

    /// The value of the Age field: whole seconds, at most 2^31 (RFC 9111 §1.2.2).
    #[must_use]
    #[inline]
    pub fn age_s(&self, now_ms: u64) -> u32 {
        (self.age_ms(now_ms) / 1000).min(crate::MAX_SECONDS.into()) as u32
    }

    /// Freshness left in milliseconds; negative once stale.
    #[must_use]
    #[inline]
    pub fn fresh_for_ms(&self, now_ms: u64) -> i64 {
        let age = i64::try_from(self.age_ms(now_ms)).unwrap_or(i64::MAX);
        (i64::from(self.lifetime_s) * 1000).saturating_sub(age)
    }

    /// `ttl` of Cache-Status (RFC 9211 §2.5): freshness left in whole seconds, rounded down; negative once stale.
    #[must_use]
    pub fn ttl_s(&self, now_ms: u64) -> i64 {
        self.fresh_for_ms(now_ms).div_euclid(1000)
    }

    /// Fresh now (before any wish of the client): `freshness_lifetime > current_age` (RFC 9111 §4.2).
    #[must_use]
    #[inline]
    pub fn is_fresh(&self, now_ms: u64) -> bool {
        self.fresh_for_ms(now_ms) > 0 && !self.flags.has(Flags::NO_CACHE)
    }

    /// Whether an ETag or a Last-Modified allows a validation.
    #[must_use]
    pub fn has_validator(&self) -> bool {
        self.flags.has(Flags::ETAG) || self.flags.has(Flags::LAST_MODIFIED)
    }

    /// The moment after which keeping the response serves nobody, unix milliseconds: past its freshness and its stale
    /// windows it is worth `grace_s` more for validation if it has a validator.
    #[must_use]
    pub fn useless_after_ms(&self, grace_s: u32) -> u64 {
        let window = self.stale_while_revalidate_s.max(self.stale_if_error_s);
        let window = window.max(if self.has_validator() { grace_s } else { 0 });
        let left = (u64::from(self.lifetime_s) * 1000).saturating_sub(self.initial_age_ms);
        self.response_time_ms.saturating_add(left).saturating_add(u64::from(window) * 1000)
    }

    /// The record as it goes to disk, version first.
    #[must_use]
    pub fn encode(&self) -> [u8; STORED_LEN] {
        let mut out = [0; STORED_LEN];
        let pieces: [&[u8]; 9] = [
            &[VERSION, 0, 0, 0],
            &self.status.to_le_bytes(),
            &self.flags.0.to_le_bytes(),
            &self.response_time_ms.to_le_bytes(),
            &self.initial_age_ms.to_le_bytes(),
            &self.modified_s.to_le_bytes(),
            &self.lifetime_s.to_le_bytes(),
            &self.stale_while_revalidate_s.to_le_bytes(),
            &self.stale_if_error_s.to_le_bytes(),
        ];
        for (to, from) in out.iter_mut().zip(pieces.iter().copied().flatten()) {
            *to = *from;
        }
        out
    }

    /// Reads a record back.
    ///
    /// # Errors
    /// [`DecodeError`] for anything [`Stored::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Stored, DecodeError> {
        let (first, _) = bytes.split_first().ok_or(DecodeError::Length)?;
        if *first != VERSION {
            return Err(DecodeError::Version);
        }
        if bytes.len() != STORED_LEN {
            return Err(DecodeError::Length);
        }
        let mut read = Reader(bytes);
        let [_, zeros @ ..] = read.take::<4>()?;
        let stored = Stored {
            status: u16::from_le_bytes(read.take()?),
            flags: Flags(u16::from_le_bytes(read.take()?)),
            response_time_ms: u64::from_le_bytes(read.take()?),
            initial_age_ms: u64::from_le_bytes(read.take()?),
            modified_s: u64::from_le_bytes(read.take()?),
            lifetime_s: u32::from_le_bytes(read.take()?),
            stale_while_revalidate_s: u32::from_le_bytes(read.take()?),
            stale_if_error_s: u32::from_le_bytes(read.take()?),
        };
        let windows = [stored.lifetime_s, stored.stale_while_revalidate_s, stored.stale_if_error_s];
        let sound = zeros == [0; 3]
            && (200..=599).contains(&stored.status)
            && stored.flags.0 & !Flags::ALL == 0
            && windows.iter().all(|w| *w <= crate::MAX_SECONDS);
        if sound { Ok(stored) } else { Err(DecodeError::Value) }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(DecodeError::Length)?;
        self.0 = tail;
        Ok(*head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_stored() -> impl Strategy<Value = Stored> {
        let seconds = || 0..=crate::MAX_SECONDS;
        let times = (any::<u64>(), any::<u64>(), any::<u64>());
        (times, seconds(), seconds(), seconds(), 200u16..600, 0..=Flags::ALL).prop_map(
            |((response, age, modified), lifetime, swr, sie, status, flags)| Stored {
                response_time_ms: response,
                initial_age_ms: age,
                modified_s: modified,
                lifetime_s: lifetime,
                stale_while_revalidate_s: swr,
                stale_if_error_s: sie,
                status,
                flags: Flags(flags),
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_reads_back_as_it_was_written(stored in any_stored(), now in any::<u64>()) {
            prop_assert_eq!(Stored::decode(&stored.encode()), Ok(stored));
            let _ = (stored.age_s(now), stored.ttl_s(now), stored.useless_after_ms(u32::MAX));
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Stored::decode(&bytes);
        }

        #[test]
        fn a_changed_byte_is_an_error_or_another_record(stored in any_stored(), at in 0..STORED_LEN, to: u8) {
            let mut bytes = stored.encode();
            let same = bytes[at] == to;
            bytes[at] = to;
            if let Ok(other) = Stored::decode(&bytes) {
                prop_assert_eq!(other == stored, same);
            }
        }
    }

    #[test]
    fn other_lengths_and_versions_are_refused() {
        let bytes = Stored { status: 200, ..Stored::default() }.encode();
        assert_eq!(Stored::decode(&[]), Err(DecodeError::Length));
        assert_eq!(Stored::decode(&bytes[..43]), Err(DecodeError::Length));
        assert_eq!(Stored::decode(&[&bytes[..], &[0]].concat()), Err(DecodeError::Length));
        let mut other = bytes;
        other[0] = 2;
        assert_eq!(Stored::decode(&other), Err(DecodeError::Version));
        assert_eq!(Stored::decode(&Stored::default().encode()), Err(DecodeError::Value));
    }

    #[test]
    fn ages_grow_with_the_clock_and_stand_still_when_it_runs_back() {
        let stored =
            Stored { response_time_ms: 10_000, initial_age_ms: 1500, lifetime_s: 3, ..Stored::default() };
        assert_eq!((stored.age_ms(10_000), stored.age_s(10_000)), (1500, 1));
        assert_eq!(stored.age_s(5_000), 1);
        assert_eq!((stored.ttl_s(10_000), stored.ttl_s(12_000)), (1, -1));
        assert!(stored.is_fresh(11_499) && !stored.is_fresh(11_500));
        assert_eq!(stored.useless_after_ms(60), 11_500);
    }
}
