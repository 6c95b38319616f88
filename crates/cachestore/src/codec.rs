//! How entries are written in files.
//!
//! One entry is a prefix of 56 bytes, the encoded head (for slices empty), and the bytes of the body or slice. All
//! integers are little-endian. The checksum covers everything else and the slot, so that a file that is torn,
//! damaged, of another version or under another's name is told from a good one.

use crate::SLICE;
use crate::key::{Key, Slot};
use crate::label::{LABELS_MAX, Labels};
use crate::object::{Meta, Object};
use bytes::Bytes;
use rapidhash::v3::rapidhash_v3;
use seawall_http::Fields;

/// First bytes of every file: name and version. Another layout gets another number.
const MAGIC: [u8; 8] = *b"SWcache1";

const PREFIX: usize = 56;

/// Longest encoded head that is written, in bytes: the edge accepts far smaller ones.
pub(crate) const HEAD_MAX: usize = 1 << 20;

/// Longest file there can be, in bytes.
pub(crate) const ENTRY_MAX: u64 = (PREFIX + HEAD_MAX + SLICE) as u64;

const VARY: u8 = 1;
const WHOLE: u8 = 2;

/// Why bytes are not an entry. The disk, or whoever wrote to it, is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damaged {
    #[error("shorter or longer than it says")]
    Length,
    #[error("not a cache entry of this version")]
    Magic,
    #[error("the checksum is wrong")]
    Checksum,
    #[error("the head cannot be read")]
    Head,
}

/// An entry as read; taken apart at once, hence no box.
#[derive(Debug)]
#[expect(clippy::large_enum_variant)]
pub(crate) enum Entry {
    /// A head; with its body, unless that is in slices.
    Head { seq: u64, meta: Meta, body: Option<Bytes> },
    /// A slice.
    Slice(Bytes),
}

/// Everything of an object's file but the body that follows it. `None` if the head is too long to be written.
pub(crate) fn encode_object(object: &Object) -> Option<Vec<u8>> {
    let head = encode_meta(object)?;
    let body = object.body().whole().map_or(&[][..], |body| body);
    Some(prefix(&Slot::head(object.key()), &head, body))
}

/// Everything of a slice's file but the slice.
pub(crate) fn encode_slice(slot: &Slot, slice: &[u8]) -> Vec<u8> {
    prefix(slot, &[], slice)
}

/// Reads an entry. Never panics and allocates no more than a few times what it is given.
pub(crate) fn decode(file: &Bytes) -> Result<(Slot, Entry), Damaged> {
    let mut take = Take(file);
    let magic = take.array::<8>().ok_or(Damaged::Length)?;
    if magic != MAGIC {
        return Err(Damaged::Magic);
    }
    let key = Key(u128::from_le_bytes(take.array().ok_or(Damaged::Length)?));
    let generation = take.u64().ok_or(Damaged::Length)?;
    let index = take.u32().ok_or(Damaged::Length)?;
    let head_len = take.u32().ok_or(Damaged::Length)? as usize;
    let body_len = take.u64().ok_or(Damaged::Length)?;
    let checksum = take.u64().ok_or(Damaged::Length)?;
    let (head, body) = take.0.split_at_checked(head_len).ok_or(Damaged::Length)?;
    if body.len() as u64 != body_len || body.len() > SLICE || head.len() > HEAD_MAX {
        return Err(Damaged::Length);
    }
    let stated = file.get(..PREFIX - 8).ok_or(Damaged::Length)?;
    if sum(stated, head, body) != checksum {
        return Err(Damaged::Checksum);
    }
    let slot = Slot { key, generation, index };
    let bytes = |part: &[u8]| file.slice_ref(part);
    if !slot.is_head() {
        return Ok((slot, Entry::Slice(bytes(body))));
    }
    let (seq, mut meta, whole) = decode_meta(head).ok_or(Damaged::Head)?;
    if whole {
        meta.body_len = Some(body.len() as u64);
    }
    Ok((slot, Entry::Head { seq, meta, body: whole.then(|| bytes(body)) }))
}

fn prefix(slot: &Slot, head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(PREFIX + head.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&slot.key.0.to_le_bytes());
    out.extend_from_slice(&slot.generation.to_le_bytes());
    out.extend_from_slice(&slot.index.to_le_bytes());
    out.extend_from_slice(&(head.len() as u32).to_le_bytes());
    out.extend_from_slice(&(body.len() as u64).to_le_bytes());
    let checksum = sum(&out, head, body);
    out.extend_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(head);
    out
}

fn sum(prefix: &[u8], head: &[u8], body: &[u8]) -> u64 {
    [prefix, head, body].iter().fold(0u64, |before, part| {
        let mut block = [0; 16];
        let (a, b) = block.split_at_mut(8);
        a.copy_from_slice(&before.to_le_bytes());
        b.copy_from_slice(&rapidhash_v3(part).to_le_bytes());
        rapidhash_v3(&block)
    })
}

fn encode_meta(object: &Object) -> Option<Vec<u8>> {
    let meta = &object.meta;
    let mut out = Vec::with_capacity(64 + meta.heap_size());
    let vary = if meta.vary.is_some() { VARY } else { 0 };
    let whole = if object.body().whole().is_some() { WHOLE } else { 0 };
    out.extend_from_slice(&object.seq().to_le_bytes());
    out.extend_from_slice(&meta.created_ms.to_le_bytes());
    out.extend_from_slice(&object.body().len().to_le_bytes());
    out.extend_from_slice(&meta.status.to_le_bytes());
    out.push(vary | whole);
    out.extend_from_slice(&u16::try_from(meta.labels.len()).ok()?.to_le_bytes());
    meta.labels.iter().for_each(|label| out.extend_from_slice(&label.to_le_bytes()));
    out.extend_from_slice(&u16::try_from(meta.fields.len()).ok()?.to_le_bytes());
    for (_, name, value) in meta.fields.iter() {
        put(&mut out, name)?;
        put(&mut out, value)?;
    }
    put(&mut out, &meta.stored)?;
    put(&mut out, &meta.extra)?;
    put(&mut out, meta.vary.as_deref().unwrap_or_default())?;
    (out.len() <= HEAD_MAX).then_some(out)
}

/// Sequence, head, and whether the body lies with it.
fn decode_meta(head: &[u8]) -> Option<(u64, Meta, bool)> {
    let mut take = Take(head);
    let seq = take.u64()?;
    let created_ms = take.u64()?;
    let body_len = Some(take.u64()?);
    let status = take.u16()?;
    let [flags] = take.array()?;
    let labels = usize::from(take.u16()?);
    if labels > LABELS_MAX {
        return None;
    }
    let labels = Labels::from_raw((0..labels).map(|_| take.u64()).collect::<Option<_>>()?);
    let mut fields = Fields::new();
    for _ in 0..take.u16()? {
        let (name, value) = (take.text()?, take.text()?);
        if !fields.push(name, value) {
            return None;
        }
    }
    let stored = Bytes::copy_from_slice(take.text()?);
    let extra = Bytes::copy_from_slice(take.text()?);
    let vary = Bytes::copy_from_slice(take.text()?);
    let vary = (flags & VARY != 0).then_some(vary);
    let meta = Meta { status, fields, stored, body_len, labels, created_ms, vary, extra };
    take.0.is_empty().then_some((seq, meta, flags & WHOLE != 0))
}

fn put(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    out.extend_from_slice(&u32::try_from(text.len()).ok()?.to_le_bytes());
    out.extend_from_slice(text);
    Some(())
}

/// Takes bytes off the front.
pub(crate) struct Take<'a>(pub &'a [u8]);

impl<'a> Take<'a> {
    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.bytes(len as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Weak;

    fn text() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..40)
    }

    fn metas() -> impl Strategy<Value = Meta> {
        let fields = proptest::collection::vec((text(), text()), 0..8);
        let labels = proptest::collection::vec(any::<u64>(), 0..10);
        (any::<u16>(), fields, text(), labels, any::<u64>(), proptest::option::of(text()), text()).prop_map(
            |(status, list, stored, labels, created_ms, vary, extra)| {
                let mut fields = Fields::new();
                list.iter().for_each(|(n, v)| assert!(fields.push(n, v)));
                let labels = Labels::from_raw(labels);
                let (stored, extra, vary) = (stored.into(), extra.into(), vary.map(Bytes::from));
                Meta { status, fields, stored, body_len: None, labels, created_ms, vary, extra }
            },
        )
    }

    fn file(object: &Object) -> Vec<u8> {
        let mut file = encode_object(object).unwrap();
        file.extend_from_slice(object.body().whole().unwrap_or(&Bytes::new()));
        file
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_what_is_read(meta in metas(), body in text(), seq in any::<u64>(), key in any::<u128>()) {
            let object = Object::whole(Key(key), seq, meta, body.into());
            let (slot, entry) = decode(&file(&object).into()).unwrap();
            prop_assert_eq!(slot, Slot::head(Key(key)));
            let Entry::Head { seq: read, meta, body } = entry else { panic!() };
            prop_assert_eq!((read, &meta), (seq, &object.meta));
            prop_assert_eq!(body.as_ref(), object.body().whole());

            let object = Object::sliced(Key(key), seq, meta, 5 << 20, Weak::new());
            let (_, entry) = decode(&file(&object).into()).unwrap();
            let Entry::Head { meta, body: None, .. } = entry else { panic!() };
            prop_assert_eq!(&meta, &object.meta);
        }

        #[test]
        fn no_damage_goes_unnoticed(meta in metas(), body in text(), at in any::<prop::sample::Index>(), flip in 1..=255u8, cut in any::<bool>()) {
            let mut file = file(&Object::whole(Key(1), 2, meta, body.into()));
            let at = at.index(file.len());
            if cut { file.truncate(at) } else { file[at] ^= flip }
            prop_assert!(decode(&file.into()).is_err());
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), head in text()) {
            prop_assert!(decode(&bytes.into()).is_err());
            // A head that passed the checksum, written by someone else.
            let _ = decode(&prefix(&Slot::head(Key(1)), &head, b"").into());
            let _ = decode_meta(&head);
        }
    }

    #[test]
    fn a_head_too_long_is_not_written() {
        let meta = Meta { extra: vec![0; HEAD_MAX].into(), ..Meta::default() };
        assert!(encode_object(&Object::whole(Key(1), 1, meta, Bytes::new())).is_none());
    }
}
