//! Cache-Tag: names under which responses are purged together.

use seawall_http::{Fields, Known};

/// Most tags of one response; later ones are not taken. (Cloudflare bounds the field to about as many.)
pub const TAGS_MAX: usize = 1000;

/// Longest tag in bytes; longer ones are not taken, as no purge request could name them.
pub const TAG_LEN_MAX: usize = 1024;

/// The tags of a response, separated by commas or blanks, in the case they came in. Compare them without regard to
/// case ([`same`]), as Cloudflare does. Only visible ASCII is taken.
pub fn tags(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    fields
        .all(Known::CacheTag)
        .flat_map(|line| line.split(|b| matches!(b, b',' | b' ' | b'\t')))
        .filter(|tag| (1..=TAG_LEN_MAX).contains(&tag.len()) && tag.iter().all(u8::is_ascii_graphic))
        .take(TAGS_MAX)
}

/// Whether two tags are the same.
#[must_use]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_and_blanks_separate_and_bounds_hold() {
        let mut fields = Fields::new();
        fields.push(b"Cache-Tag", b"a,b c ,, d");
        fields.push(b"Cache-Tag", format!("e,{},f\x01", "x".repeat(TAG_LEN_MAX + 1)).as_bytes());
        assert_eq!(tags(&fields).collect::<Vec<_>>(), [b"a", b"b", b"c", b"d", b"e"]);
        let mut many = Fields::new();
        many.push(b"Cache-Tag", "t,".repeat(TAGS_MAX + 5).as_bytes());
        assert_eq!(tags(&many).count(), TAGS_MAX);
        assert!(same(b"Blog", b"bLOG"));
    }
}
