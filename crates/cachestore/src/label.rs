//! What objects can be purged by.

use crate::{PREFIXES_MAX, TAGS_MAX};
use rapidhash::v3::rapidhash_v3;

/// A purge: which objects stored so far are dead from now on. Hosts are lower case, without port unless the caller
/// stores them with one; `zone` is the name the zone was stored under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge<'a> {
    /// Every variant of one URL. `target` is path and query in the form objects are stored under.
    Url {
        /// Zone name
        zone: &'a str,
        /// Host
        host: &'a [u8],
        /// Path and query
        target: &'a [u8],
    },
    /// Everything of one host.
    Host {
        /// Zone name
        zone: &'a str,
        /// Host
        host: &'a [u8],
    },
    /// Everything at or below a path. Prefixes end at `/`: `/a` means `/a` and `/a/…`, with any query, not `/ab`.
    Prefix {
        /// Zone name
        zone: &'a str,
        /// Host
        host: &'a [u8],
        /// Path, with or without a closing `/`
        path: &'a [u8],
    },
    /// Everything that carries a tag, in any case.
    Tag {
        /// Zone name
        zone: &'a str,
        /// Tag
        tag: &'a [u8],
    },
    /// Everything of one zone.
    Zone {
        /// Zone name
        zone: &'a str,
    },
    /// Everything.
    Everything,
}

/// Hashes of all an object can be purged by: zone, host, URL, path prefixes, tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Box<[u64]>);

impl Labels {
    /// Labels of the object at `host` and `target` (path, and query if it tells objects apart) of a zone.
    ///
    /// At most [`PREFIXES_MAX`] path prefixes are kept; more than [`TAGS_MAX`] tags are replaced by one label which
    /// every tag purge of the zone hits. Tags are compared without case; empty ones are skipped.
    pub fn new<'t>(
        zone: &str,
        host: &[u8],
        target: &[u8],
        tags: impl IntoIterator<Item = &'t [u8]>,
    ) -> Labels {
        let zone = zone_label(zone);
        let mut list = Vec::with_capacity(8);
        list.extend([zone, host_label(zone, host), url_label(zone, host, target)]);
        prefix_labels(zone, host, path_of(target), |label| list.push(label));
        let fixed = list.len();
        for tag in tags.into_iter().filter(|t| !t.is_empty()) {
            if list.len() == fixed + TAGS_MAX {
                list.truncate(fixed);
                list.push(many_tags_label(zone));
                break;
            }
            list.push(tag_label(zone, tag));
        }
        Labels(list.into())
    }

    /// The label of the URL.
    pub(crate) fn url(&self) -> Option<u64> {
        self.0.get(2).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn from_raw(list: Vec<u64>) -> Labels {
        Labels(list.into())
    }
}

/// Most labels an object can have.
pub(crate) const LABELS_MAX: usize = 3 + PREFIXES_MAX + 1 + TAGS_MAX;

/// The zone's label and the labels a purge marks: none for everything.
pub(crate) fn marked(purge: &Purge<'_>) -> (u64, [Option<u64>; 2]) {
    match *purge {
        Purge::Everything => (0, [None, None]),
        Purge::Zone { zone } => {
            let zone = zone_label(zone);
            (zone, [Some(zone), None])
        }
        Purge::Host { zone, host } => {
            let zone = zone_label(zone);
            (zone, [Some(host_label(zone, host)), None])
        }
        Purge::Url { zone, host, target } => {
            let zone = zone_label(zone);
            (zone, [Some(url_label(zone, host, target)), None])
        }
        Purge::Prefix { zone, host, path } => {
            let zone = zone_label(zone);
            let mut last = None;
            prefix_labels(zone, host, path_of(path), |label| last = Some(label));
            (zone, [last, None])
        }
        Purge::Tag { zone, tag } => {
            let zone = zone_label(zone);
            (zone, [Some(tag_label(zone, tag)), Some(many_tags_label(zone))])
        }
    }
}

// Hashes are kept on disk, hence the portable version of rapidhash with its fixed seed. A collision purges an object
// too many, which does no harm.
fn chain(before: u64, kind: u8, text: &[u8]) -> u64 {
    let mut block = [0; 17];
    let (a, rest) = block.split_at_mut(8);
    a.copy_from_slice(&before.to_le_bytes());
    let (b, c) = rest.split_at_mut(8);
    b.copy_from_slice(&rapidhash_v3(text).to_le_bytes());
    c.fill(kind);
    rapidhash_v3(&block)
}

fn zone_label(zone: &str) -> u64 {
    chain(0, b'z', zone.as_bytes())
}

fn host_label(zone: u64, host: &[u8]) -> u64 {
    chain(zone, b'h', host)
}

fn url_label(zone: u64, host: &[u8], target: &[u8]) -> u64 {
    chain(host_label(zone, host), b'u', target)
}

fn tag_label(zone: u64, tag: &[u8]) -> u64 {
    chain(zone, b't', &tag.to_ascii_lowercase())
}

fn many_tags_label(zone: u64) -> u64 {
    chain(zone, b'm', b"")
}

fn path_of(target: &[u8]) -> &[u8] {
    target.split(|b| *b == b'?').next().unwrap_or(target)
}

/// Labels of the prefixes of a path that end before a `/` or at its end: of `/a/b/`, ``, `/a` and `/a/b`.
fn prefix_labels(zone: u64, host: &[u8], path: &[u8], mut each: impl FnMut(u64)) {
    let host = host_label(zone, host);
    each(chain(host, b'p', b""));
    let path = match path {
        [head @ .., b'/'] => head,
        all => all,
    };
    let inner = path.iter().enumerate().skip(1).filter(|(_, b)| **b == b'/').map(|(i, _)| i);
    let ends = inner.chain((!path.is_empty()).then_some(path.len())).take(PREFIXES_MAX);
    for end in ends {
        each(chain(host, b'p', path.get(..end).unwrap_or(path)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(labels: &Labels, purge: Purge<'_>) -> bool {
        let (_, marks) = marked(&purge);
        marks.iter().flatten().any(|m| labels.iter().any(|l| l == *m))
    }

    #[test]
    fn prefixes_end_at_slashes() {
        let labels = Labels::new("z", b"h", b"/a/bc/d.html?x=/q", []);
        let cases: &[(&str, bool)] = &[
            ("", true),
            ("/", true),
            ("/a", true),
            ("/a/", true),
            ("/a/b", false),
            ("/a/bc", true),
            ("/a/bc/", true),
            ("/a/bc/d.html", true),
            ("/a/bc/d.html/e", false),
            ("/b", false),
        ];
        for (path, want) in cases {
            let purge = Purge::Prefix { zone: "z", host: b"h", path: path.as_bytes() };
            assert_eq!(hits(&labels, purge), *want, "{path}");
        }
        assert!(!hits(&labels, Purge::Prefix { zone: "y", host: b"h", path: b"/a" }));
        assert!(!hits(&labels, Purge::Prefix { zone: "z", host: b"i", path: b"/a" }));
    }

    #[test]
    fn deeper_prefixes_than_kept_purge_more_and_never_less() {
        let deep = "/x".repeat(40);
        let labels = Labels::new("z", b"h", deep.as_bytes(), []);
        assert!(hits(&labels, Purge::Prefix { zone: "z", host: b"h", path: deep.as_bytes() }));
        assert!(labels.len() <= LABELS_MAX);
    }

    #[test]
    fn tags_ignore_case_and_too_many_are_hit_by_any() {
        let few = Labels::new("z", b"h", b"/", [&b"News"[..], b"", b"b"]);
        assert!(hits(&few, Purge::Tag { zone: "z", tag: b"nEWS" }));
        assert!(!hits(&few, Purge::Tag { zone: "z", tag: b"other" }));
        let names: Vec<String> = (0..=TAGS_MAX).map(|i| format!("t{i}")).collect();
        let many = Labels::new("z", b"h", b"/", names.iter().map(|n| n.as_bytes()));
        assert!(hits(&many, Purge::Tag { zone: "z", tag: b"other" }));
        assert!(!hits(&many, Purge::Tag { zone: "y", tag: b"t1" }));
    }
}
