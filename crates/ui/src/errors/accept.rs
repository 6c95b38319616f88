//! Which format an error answer takes (RFC 9110 §12.5.1).

/// A format of error answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A page, for browsers.
    Html,
    /// A problem document (RFC 9457), for programs.
    Json,
    /// A few lines of text, for terminals and everything that does not say what it wants.
    Text,
}

impl Format {
    /// The format for the values of a request's `Accept` fields.
    ///
    /// The highest weight among the types it names wins; among equals HTML, then JSON. `*/*` names nothing: a client that
    /// takes anything (curl, `fetch`, an image) gets text, which is readable in a terminal and a tenth of the page. Members
    /// that cannot be parsed are passed over, for here an answer of some kind is always due.
    #[must_use]
    pub fn negotiate<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Format {
        let mut best = (0, Format::Text);
        for member in values.into_iter().flat_map(|value| value.split(|b| *b == b',')) {
            let mut parts = member.split(|b| *b == b';').map(<[u8]>::trim_ascii);
            let Some(format) = parts.next().and_then(Format::of) else { continue };
            let weight =
                parts.find_map(|p| p.strip_prefix(b"q=").or(p.strip_prefix(b"Q="))).map_or(1000, thousandths);
            if weight > best.0 || (weight == best.0 && weight > 0 && format.rank() < best.1.rank()) {
                best = (weight, format);
            }
        }
        best.1
    }

    /// Value of `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Html => "text/html; charset=utf-8",
            Format::Json => "application/problem+json",
            Format::Text => "text/plain; charset=utf-8",
        }
    }

    /// The format a media range asks for by name.
    fn of(range: &[u8]) -> Option<Format> {
        let is = |name: &str| range.eq_ignore_ascii_case(name.as_bytes());
        if is("text/html") || is("application/xhtml+xml") || is("text/*") {
            Some(Format::Html)
        } else if is("application/json") || is("application/problem+json") || is("application/*") {
            Some(Format::Json)
        } else if is("text/plain") || is("text/markdown") {
            Some(Format::Text)
        } else {
            // application/vnd.api+json and its like: a program that reads JSON.
            let suffix = range.len().checked_sub(5).and_then(|at| range.get(at..))?;
            suffix.eq_ignore_ascii_case(b"+json").then_some(Format::Json)
        }
    }

    fn rank(self) -> u8 {
        match self {
            Format::Html => 0,
            Format::Json => 1,
            Format::Text => 2,
        }
    }
}

/// A weight in thousandths; 0 for what is none.
fn thousandths(text: &[u8]) -> u16 {
    let number = std::str::from_utf8(text).ok().and_then(|t| t.parse::<f32>().ok()).unwrap_or(0.0);
    (number.clamp(0.0, 1.0) * 1000.0) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_gets_what_it_reads() {
        for (accept, format) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", Format::Html),
            ("application/json, text/plain, */*", Format::Json),
            ("application/problem+json", Format::Json),
            ("application/vnd.api+json", Format::Json),
            ("text/html;q=0.5, application/json;q=0.9", Format::Json),
            ("application/json;q=0.1, text/HTML; q=0.2", Format::Html),
            ("text/markdown, text/html;q=0.9", Format::Text),
            ("*/*", Format::Text),
            ("", Format::Text),
            ("image/avif,image/webp,*/*;q=0.8", Format::Text),
            ("text/html;q=0", Format::Text),
            ("application/json;q=0, text/html;q=wrong", Format::Text),
            (";;,,/,json", Format::Text),
        ] {
            assert_eq!(Format::negotiate([accept.as_bytes()]), format, "{accept}");
        }
        assert_eq!(Format::negotiate([]), Format::Text);
        assert_eq!(Format::negotiate([&b"image/png"[..], b"application/json"]), Format::Json);
    }
}
