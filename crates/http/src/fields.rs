//! Header fields of one message: raw bytes in their order and case, with an index by well-known name.

use crate::known::{KNOWN, Known};

/// One field's place in the bytes.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: u32,
    value: u32,
    value_len: u32,
    name_len: u16,
    known: Known,
    gone: bool,
}

/// Header (or trailer) fields in the order and case they came.
///
/// Bytes are copied in once and never moved: removing marks, setting appends. Looking a well-known name up is an
/// array read. At most [`Fields::MAX`] fields and 4 GiB; [`Fields::push`] refuses more (the codecs refuse far earlier).
#[derive(Clone, Debug)]
pub struct Fields {
    bytes: Vec<u8>,
    list: Vec<Field>,
    /// For each well-known name the position of its first live field plus one, or 0.
    first: [u8; KNOWN],
}

impl Default for Fields {
    fn default() -> Self {
        Fields { bytes: Vec::new(), list: Vec::new(), first: [0; KNOWN] }
    }
}

impl Fields {
    /// Most fields one message can hold.
    pub const MAX: usize = 250;

    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties the list and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
        self.first = [0; KNOWN];
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.iter().filter(|f| !f.gone).count()
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.iter().all(|f| f.gone)
    }

    /// Memory held, in bytes.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        self.bytes.capacity() + self.list.capacity() * size_of::<Field>()
    }

    /// Appends a field. Returns whether it fitted.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.append(Known::of(name), name, value)
    }

    /// Appends a field with a well-known name. Returns whether it fitted.
    pub fn add(&mut self, name: Known, value: &[u8]) -> bool {
        self.append(name, name.name().as_bytes(), value)
    }

    /// Replaces every field of that name by one. Returns whether it fitted.
    pub fn set(&mut self, name: Known, value: &[u8]) -> bool {
        self.remove(name);
        self.add(name, value)
    }

    /// Replaces every field of that name, well known or not, by one. Returns whether it fitted.
    pub fn set_named(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.remove_named(name);
        self.push(name, value)
    }

    /// Removes every field of that name. Returns whether there was one.
    pub fn remove(&mut self, name: Known) -> bool {
        let Some(slot) = self.first.get_mut(name as usize) else { return false };
        let from = match *slot {
            0 => return false,
            n => n as usize - 1,
        };
        *slot = 0;
        for field in self.list.iter_mut().skip(from).filter(|f| f.known == name) {
            field.gone = true;
        }
        true
    }

    /// Removes every field of that name, well known or not, in any case. Returns whether there was one.
    pub fn remove_named(&mut self, name: &[u8]) -> bool {
        match Known::of(name) {
            Known::Other => {}
            known => return self.remove(known),
        }
        let bytes = &self.bytes;
        let mut found = false;
        for field in self.list.iter_mut().filter(|f| f.known == Known::Other && !f.gone) {
            if slice(bytes, field.name, field.name_len.into()).eq_ignore_ascii_case(name) {
                field.gone = true;
                found = true;
            }
        }
        found
    }

    /// Keeps only the fields for which `keep(known, name, value)` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(Known, &[u8], &[u8]) -> bool) {
        let bytes = &self.bytes;
        self.first = [0; KNOWN];
        for (i, field) in self.list.iter_mut().enumerate().filter(|(_, f)| !f.gone) {
            let name = slice(bytes, field.name, field.name_len.into());
            field.gone = !keep(field.known, name, slice(bytes, field.value, field.value_len));
            if !field.gone
                && let Some(slot) = self.first.get_mut(field.known as usize)
                && *slot == 0
            {
                *slot = (i + 1) as u8;
            }
        }
    }

    /// Whether a field of that name is there.
    #[must_use]
    #[inline]
    pub fn has(&self, name: Known) -> bool {
        self.first.get(name as usize).is_some_and(|n| *n != 0)
    }

    /// The first value of a well-known name.
    #[must_use]
    #[inline]
    pub fn get(&self, name: Known) -> Option<&[u8]> {
        let position = (*self.first.get(name as usize)? as usize).checked_sub(1)?;
        self.list.get(position).map(|f| slice(&self.bytes, f.value, f.value_len))
    }

    /// Every value of a well-known name, in order.
    pub fn all(&self, name: Known) -> impl Iterator<Item = &[u8]> + Clone {
        let from = match self.first.get(name as usize) {
            Some(0) | None => self.list.len(),
            Some(n) => *n as usize - 1,
        };
        let rest = self.list.get(from..).unwrap_or(&[]);
        rest.iter()
            .filter(move |f| f.known == name && !f.gone)
            .map(|f| slice(&self.bytes, f.value, f.value_len))
    }

    /// The first value of any name, in any case.
    #[must_use]
    pub fn get_named<'a>(&'a self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().find(|(_, n, _)| n.eq_ignore_ascii_case(name)).map(|(_, _, v)| v)
    }

    /// Every value of any name, in any case, in order.
    pub fn all_named<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(_, n, _)| n.eq_ignore_ascii_case(name)).map(|(_, _, v)| v)
    }

    /// Every field as (well-known name or [`Known::Other`], name as it came, value), in order.
    pub fn iter(&self) -> impl Iterator<Item = (Known, &[u8], &[u8])> + Clone {
        self.list.iter().filter(|f| !f.gone).map(|f| {
            let name = slice(&self.bytes, f.name, f.name_len.into());
            (f.known, name, slice(&self.bytes, f.value, f.value_len))
        })
    }

    #[inline]
    fn append(&mut self, known: Known, name: &[u8], value: &[u8]) -> bool {
        let start = self.bytes.len();
        let (Ok(name_len), true) = (u16::try_from(name.len()), self.list.len() < Self::MAX) else {
            return false;
        };
        if start + name.len() + value.len() > u32::MAX as usize {
            return false;
        }
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.list.push(Field {
            name: start as u32,
            value: (start + name.len()) as u32,
            value_len: value.len() as u32,
            name_len,
            known,
            gone: false,
        });
        if let Some(slot) = self.first.get_mut(known as usize)
            && *slot == 0
        {
            *slot = self.list.len() as u8;
        }
        true
    }
}

impl PartialEq for Fields {
    /// Equal when the same fields stand in the same order, names compared without case.
    fn eq(&self, other: &Self) -> bool {
        let (mut a, mut b) = (self.iter(), other.iter());
        loop {
            match (a.next(), b.next()) {
                (None, None) => return true,
                (Some((_, n, v)), Some((_, m, w))) if n.eq_ignore_ascii_case(m) && v == w => {}
                _ => return false,
            }
        }
    }
}

#[inline]
fn slice(bytes: &[u8], start: u32, len: u32) -> &[u8] {
    bytes.get(start as usize..(start + len) as usize).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut f = Fields::new();
        for (n, v) in list {
            assert!(f.push(n.as_bytes(), v.as_bytes()));
        }
        f
    }

    #[test]
    fn order_and_case_are_kept() {
        let f = fields(&[("hOST", "a"), ("X-Odd", "1"), ("x-odd", "2"), ("ACCEPT", "*/*")]);
        let names: Vec<_> = f.iter().map(|(_, n, _)| n.to_vec()).collect();
        assert_eq!(names, [&b"hOST"[..], b"X-Odd", b"x-odd", b"ACCEPT"]);
        assert_eq!(f.get(Known::Host), Some(&b"a"[..]));
        assert_eq!(f.all_named(b"x-ODD").collect::<Vec<_>>(), [b"1", b"2"]);
    }

    #[test]
    fn setting_replaces_all_and_removing_forgets_all() {
        let mut f = fields(&[("Via", "1"), ("A", "x"), ("via", "2")]);
        assert_eq!(f.all(Known::Via).count(), 2);
        f.set(Known::Via, b"3");
        assert_eq!(f.all(Known::Via).collect::<Vec<_>>(), [b"3"]);
        assert_eq!(f.len(), 2);
        assert!(f.remove(Known::Via) && !f.has(Known::Via) && !f.remove(Known::Via));
        assert!(f.remove_named(b"a") && f.is_empty());
    }

    #[test]
    fn retaining_mends_the_index() {
        let mut f = fields(&[("Vary", "a"), ("Vary", "b"), ("Date", "d")]);
        f.retain(|_, _, v| v != b"a");
        assert_eq!(f.get(Known::Vary), Some(&b"b"[..]));
        assert_eq!(f.get(Known::Date), Some(&b"d"[..]));
        f.clear();
        assert_eq!(f.get(Known::Date), None);
    }

    #[test]
    fn more_than_the_limit_is_refused() {
        let mut f = Fields::new();
        for _ in 0..Fields::MAX {
            assert!(f.push(b"a", b"b"));
        }
        assert!(!f.push(b"a", b"b"));
    }
}
