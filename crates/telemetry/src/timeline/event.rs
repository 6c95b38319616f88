//! One event, and its line in the file.

use serde::{Deserialize, Serialize};

use super::kinds::Kind;

/// Longest line in the file with its newline, bytes: one write that the kernel appends whole, whoever else writes.
pub const LINE_MAX: usize = 4096;

/// Longest text, bytes; verdicts and lists of effects fit.
const TEXT_MAX: usize = 2048;

/// Longest of each other word, bytes: a zone's name is at most 253.
const WORD_MAX: usize = 256;

/// Something that happened. Made by [`Event::new`]; `Timeline::tell` adds when and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, Unix milliseconds.
    pub unix_ms: u64,
    /// Number of the event in its process, from 1.
    #[serde(default)]
    pub seq: u64,
    /// Which process: `edge`, `supervisor` or `command`.
    pub role: String,
    /// Its number.
    pub pid: u32,
    /// What happened.
    pub kind: Kind,
    /// The snapshot it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u64>,
    /// The zone it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The module it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The unit it is about, as `zone a.test` or `data bot-features`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Who or what brought it about: `file`, `operator`, `gate`, a fault.
    pub cause: String,
    /// What happened, in a sentence.
    pub text: String,
    /// Events of this kind before it that were not told, because traffic made too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suppressed: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants it so
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Event {
    /// An event with its cause (`file`, `operator`, `gate`, a fault) and a sentence. Time, process and number are
    /// filled in when it is told.
    #[must_use]
    pub fn new(kind: Kind, cause: impl Into<String>, text: impl Into<String>) -> Self {
        Event {
            unix_ms: 0,
            seq: 0,
            role: String::new(),
            pid: 0,
            kind,
            snapshot: None,
            zone: None,
            module: None,
            unit: None,
            cause: cause.into(),
            text: text.into(),
            suppressed: 0,
        }
    }

    /// It is about this snapshot.
    #[must_use]
    pub fn snapshot(mut self, number: u64) -> Self {
        self.snapshot = Some(number);
        self
    }

    /// It is about this zone.
    #[must_use]
    pub fn zone(mut self, name: impl Into<String>) -> Self {
        self.zone = Some(name.into());
        self
    }

    /// It is about this module.
    #[must_use]
    pub fn module(mut self, name: impl Into<String>) -> Self {
        self.module = Some(name.into());
        self
    }

    /// It is about this unit, as `zone a.test`.
    #[must_use]
    pub fn unit(mut self, name: impl Into<String>) -> Self {
        self.unit = Some(name.into());
        self
    }

    /// It happened then rather than when it is told, Unix milliseconds.
    #[must_use]
    pub fn at(mut self, unix_ms: u64) -> Self {
        self.unix_ms = unix_ms;
        self
    }

    /// Cuts what is too long, so that the line fits.
    pub(crate) fn bound(&mut self) {
        cut(&mut self.text, TEXT_MAX);
        cut(&mut self.cause, WORD_MAX);
        cut(&mut self.role, WORD_MAX);
        for word in [&mut self.zone, &mut self.module, &mut self.unit].into_iter().flatten() {
            cut(word, WORD_MAX);
        }
    }

    /// The line of the file, with its newline; at most [`LINE_MAX`] bytes, whatever the texts hold.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut event = self.clone();
        event.bound();
        let mut room = TEXT_MAX;
        loop {
            let mut line = serde_json::to_string(&event).unwrap_or_default();
            line.push('\n');
            // JSON may write one byte as six; then the text gives way, and in the end the words.
            if line.len() <= LINE_MAX {
                return line;
            }
            room /= 2;
            cut(&mut event.text, room);
            if room < WORD_MAX {
                cut(&mut event.cause, room);
                for word in [&mut event.zone, &mut event.module, &mut event.unit].into_iter().flatten() {
                    cut(word, room);
                }
            }
        }
    }

    /// Reads a line. None if it is not one: cut by a full disk, or damaged.
    #[must_use]
    pub fn of_line(line: &[u8]) -> Option<Event> {
        #[derive(Deserialize)]
        struct Name<'n> {
            #[serde(borrow)]
            kind: std::borrow::Cow<'n, str>,
        }
        let mut event: Event = serde_json::from_slice(line).ok()?;
        if event.kind == Kind::Unknown
            && let Ok(Name { kind }) = serde_json::from_slice(line)
            && kind != Kind::Unknown.name()
        {
            event.text = format!("{kind}: {}", event.text);
        }
        Some(event)
    }
}

/// Cuts at a character; a `…` shows it.
fn cut(text: &mut String, max: usize) {
    if text.len() <= max {
        return;
    }
    let mut end = max.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.truncate(end);
    text.push('…');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_json_and_what_is_not_known_is_absent() {
        let mut event =
            Event::new(Kind::Adopted, "file", "snapshot 12 serves every request").snapshot(12).at(7);
        (event.seq, event.role, event.pid) = (1, "edge".into(), 42);
        assert_eq!(
            event.to_line(),
            "{\"unix_ms\":7,\"seq\":1,\"role\":\"edge\",\"pid\":42,\"kind\":\"adopted\",\"snapshot\":12,\
             \"cause\":\"file\",\"text\":\"snapshot 12 serves every request\"}\n"
        );
        assert_eq!(Event::of_line(event.to_line().trim().as_bytes()), Some(event));
    }

    #[test]
    fn a_kind_of_a_newer_version_is_read_and_named() {
        let line =
            br#"{"unix_ms":1,"role":"edge","pid":1,"kind":"teleported","cause":"x","text":"far","new":[1]}"#;
        let event = Event::of_line(line).unwrap();
        assert_eq!((event.kind, event.text.as_str()), (Kind::Unknown, "teleported: far"));
    }

    #[test]
    fn what_is_no_line_is_not_read() {
        for line in
            [&b""[..], b"{", b"{}", b"[1]", b"{\"unix_ms\":\"x\"}", b"\xff\xfe", b"{\"unix_ms\":1,\"rol"]
        {
            assert_eq!(Event::of_line(line), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn a_line_fits_in_one_write_and_comes_back(text in ".{0,4000}", cause in ".{0,600}", zone in "\\PC{0,600}", control in "[\\x00-\\x1f]{0,4000}") {
            for text in [text, control] {
                let event = Event::new(Kind::Alert, cause.clone(), text).zone(zone.clone()).unit(zone.clone());
                let line = event.to_line();
                prop_assert!(line.len() <= LINE_MAX, "{}", line.len());
                prop_assert_eq!(line.matches('\n').count(), 1);
                let back = Event::of_line(line.trim_end().as_bytes());
                prop_assert_eq!(back.map(|e| e.kind), Some(Kind::Alert));
            }
        }
    }
}
