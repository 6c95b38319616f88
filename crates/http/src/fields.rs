//! Header fields of one message: lines as they go over the wire, in their order and case, with an index by well-known
//! name.

use crate::known::{KNOWN, Known};

/// One field's place in the bytes: a line `name: value` CR LF.
#[derive(Clone, Copy, Debug)]
struct Field {
    line: u32,
    value_len: u32,
    name_len: u16,
    known: Known,
    gone: bool,
}

impl Field {
    #[inline]
    fn name(self, bytes: &[u8]) -> &[u8] {
        slice(bytes, self.line as usize, self.name_len.into())
    }

    #[inline]
    fn value(self, bytes: &[u8]) -> &[u8] {
        slice(
            bytes,
            self.line as usize + usize::from(self.name_len) + SEPARATOR.len(),
            self.value_len as usize,
        )
    }

    /// Where the line ends.
    #[inline]
    fn end(self) -> usize {
        self.line as usize
            + usize::from(self.name_len)
            + SEPARATOR.len()
            + self.value_len as usize
            + END.len()
    }
}

const SEPARATOR: &[u8] = b": ";
const END: &[u8] = b"\r\n";

/// Header (or trailer) fields in the order and case they came.
///
/// Bytes are copied in once and never moved: removing marks, setting appends. Looking a well-known name up is an
/// array read, and writing a whole head is a few copies of long runs of lines. At most [`Fields::MAX`] fields and 4 GiB; [`Fields::push`] refuses more (the codecs refuse far earlier).
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
            if field.name(bytes).eq_ignore_ascii_case(name) {
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
            field.gone = !keep(field.known, field.name(bytes), field.value(bytes));
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
        self.list.get(position).map(|f| f.value(&self.bytes))
    }

    /// Every value of a well-known name, in order.
    pub fn all(&self, name: Known) -> impl Iterator<Item = &[u8]> + Clone {
        let from = match self.first.get(name as usize) {
            Some(0) | None => self.list.len(),
            Some(n) => *n as usize - 1,
        };
        let rest = self.list.get(from..).unwrap_or(&[]);
        rest.iter().filter(move |f| f.known == name && !f.gone).map(|f| f.value(&self.bytes))
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
        self.list.iter().filter(|f| !f.gone).map(|f| (f.known, f.name(&self.bytes), f.value(&self.bytes)))
    }

    /// Appends the lines of every field that `keep` says, in order, to `out`.
    pub fn write_lines(&self, out: &mut Vec<u8>, keep: impl Fn(Known) -> bool) {
        // Neighbours go in one copy.
        let (mut from, mut to) = (0, 0);
        for field in self.list.iter().filter(|f| !f.gone && keep(f.known)) {
            if field.line as usize != to {
                out.extend_from_slice(self.bytes.get(from..to).unwrap_or(&[]));
                from = field.line as usize;
            }
            to = field.end();
        }
        out.extend_from_slice(self.bytes.get(from..to).unwrap_or(&[]));
    }

    /// Takes over the fields that `httparse` found in `raw`, copying `raw` as a whole. Returns whether they fitted.
    pub(crate) fn take_parsed(&mut self, raw: &[u8], found: &[httparse::Header<'_>]) -> bool {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(raw);
        let start = raw.as_ptr() as usize;
        for header in found {
            let (name, value) = (header.name.as_bytes(), header.value.trim_ascii_end());
            let known = Known::of(name);
            let line = (name.as_ptr() as usize).wrapping_sub(start);
            // Most lines are in canonical form where they stand; the others are written anew behind.
            let end = line.wrapping_add(name.len() + SEPARATOR.len() + value.len());
            let stands = (value.as_ptr() as usize).wrapping_sub(start)
                == line.wrapping_add(name.len() + SEPARATOR.len())
                && raw.get(line.wrapping_add(name.len())..).is_some_and(|r| r.starts_with(SEPARATOR))
                && raw.get(end..).is_some_and(|r| r.starts_with(END));
            let fitted = match u32::try_from(base + line) {
                Ok(line) if stands => self.index(known, line, name.len(), value.len()),
                _ => self.append(known, name, value),
            };
            if !fitted {
                return false;
            }
        }
        true
    }

    #[inline]
    fn append(&mut self, known: Known, name: &[u8], value: &[u8]) -> bool {
        let Ok(line) = u32::try_from(self.bytes.len()) else { return false };
        if !self.index(known, line, name.len(), value.len()) {
            return false;
        }
        self.bytes.reserve(name.len() + value.len() + SEPARATOR.len() + END.len());
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(SEPARATOR);
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(END);
        true
    }

    /// Enters a line into the list and the index.
    #[inline]
    fn index(&mut self, known: Known, line: u32, name_len: usize, value_len: usize) -> bool {
        let (Ok(name_len), Ok(value_len)) = (u16::try_from(name_len), u32::try_from(value_len)) else {
            return false;
        };
        if self.list.len() >= Self::MAX {
            return false;
        }
        self.list.push(Field { line, value_len, name_len, known, gone: false });
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
fn slice(bytes: &[u8], start: usize, len: usize) -> &[u8] {
    bytes.get(start..start + len).unwrap_or(&[])
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
    fn lines_are_written_in_order_without_those_left_out() {
        let raw = b"GET / HTTP/1.1\r\nHost: a\r\nX:b\r\nVia:  c \r\nDate: d\r\nE:\r\n\r\n";
        let mut slots = [httparse::EMPTY_HEADER; 8];
        let mut request = httparse::Request::new(&mut slots);
        assert!(request.parse(raw).unwrap().is_complete());
        let mut f = Fields::new();
        assert!(f.push(b"First", b"1") && f.take_parsed(raw, request.headers) && f.push(b"Last", b"2"));
        let mut out = Vec::new();
        f.write_lines(&mut out, |k| k != Known::Host);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "First: 1\r\nX: b\r\nVia: c\r\nDate: d\r\nE: \r\nLast: 2\r\n"
        );
        assert_eq!(
            (f.get(Known::Via), f.get_named(b"e"), f.get(Known::Host)),
            (Some(&b"c"[..]), Some(&b""[..]), Some(&b"a"[..]))
        );
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
