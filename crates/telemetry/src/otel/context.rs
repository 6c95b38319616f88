//! W3C Trace Context: who asked, and what to tell the next.

use std::hash::{BuildHasher as _, RandomState};

/// A traced request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub(super) trace: u128,
    /// Span of the client; 0 if this request begins the trace.
    pub(super) parent: u64,
    /// Span of the request.
    pub(super) request: u64,
    /// Span of the attempt at an origin.
    pub(super) origin: u64,
}

impl TraceContext {
    /// The `traceparent` for the origin.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-01", self.trace, self.origin)
    }

    /// The trace ID as text, for logs and error pages.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }
}

/// What a client's `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) sampled: bool,
}

/// Reads a `traceparent` (Trace Context §3.2): lower case only, no zero IDs; later versions may append fields.
pub(super) fn parse(text: &[u8]) -> Option<Parent> {
    let (known, more) = text.split_at_checked(55)?;
    let mut parts = known.split(|b| *b == b'-');
    let version = hex(parts.next()?, 2)?;
    let trace = hex(parts.next()?, 32)?;
    let span = u64::try_from(hex(parts.next()?, 16)?).ok()?;
    let flags = hex(parts.next()?, 2)?;
    let rest_fits = more.is_empty() || (version > 0 && more.first() == Some(&b'-'));
    let valid = parts.next().is_none() && version != 0xFF && trace != 0 && span != 0 && rest_fits;
    valid.then_some(Parent { trace, span, sampled: flags & 1 == 1 })
}

fn hex(text: &[u8], digits: usize) -> Option<u128> {
    if text.len() != digits {
        return None;
    }
    text.iter().try_fold(0, |value: u128, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

/// Makes IDs and chooses what is traced. IDs need to be distinct, not secret.
#[derive(Debug)]
pub(super) struct Ids {
    state: u64,
    /// Traced are those whose trace ID has lower bits below this.
    threshold: u64,
}

/// Bits of a trace ID that decide; a share of 1 is then exactly all of them.
const DECIDING_BITS: u32 = 53;

impl Ids {
    pub(super) fn new(ratio: f64) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        // 53 bits fit
        let threshold = (ratio.clamp(0.0, 1.0) * (1u64 << DECIDING_BITS) as f64) as u64;
        // Keyed by the operating system's random numbers.
        Ids { state: RandomState::new().hash_one(0u8), threshold }
    }

    pub(super) fn begin(&mut self, parent: Option<Parent>, asked: bool) -> Option<TraceContext> {
        if self.threshold == 0 && !asked {
            return None;
        }
        let trace =
            parent.map_or_else(|| u128::from(self.next()) << 64 | u128::from(self.next()), |p| p.trace);
        #[allow(clippy::cast_possible_truncation)] // the lower bits are meant
        let deciding = trace as u64 & ((1 << DECIDING_BITS) - 1);
        if deciding >= self.threshold && !asked {
            return None;
        }
        let (request, origin) = (self.next(), self.next());
        Some(TraceContext { trace, parent: parent.map_or(0, |p| p.span), request, origin })
    }

    /// SplitMix64 (Steele, Lea, Flood 2014); never 0, which is no ID.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_by_the_letter() {
        let parent = parse(GOOD.as_bytes()).unwrap();
        assert_eq!(
            (parent.trace, parent.span, parent.sampled),
            (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7, true)
        );
        assert!(!parse(GOOD.replace("-01", "-00").as_bytes()).unwrap().sampled);
        assert!(parse(GOOD.replacen("00", "cc", 1).as_bytes()).is_some(), "a later version");
        assert!(parse(format!("{}-more", GOOD.replacen("00", "cc", 1)).as_bytes()).is_some());
        for bad in [
            String::new(),
            format!("{GOOD}-more"),
            GOOD.to_uppercase(),
            GOOD.replacen("00", "ff", 1),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace('-', "_"),
            GOOD.get(..54).unwrap().to_owned(),
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_trace_goes_on_with_the_span_of_the_attempt_as_parent() {
        let context = Ids::new(1.0).begin(parse(GOOD.as_bytes()), false).unwrap();
        let next = parse(context.traceparent().as_bytes()).unwrap();
        assert_eq!((next.trace, next.span, next.sampled), (context.trace, context.origin, true));
        assert_eq!(context.parent, 0x00f0_67aa_0ba9_02b7);
        assert_ne!(context.request, context.origin);
    }

    #[test]
    fn the_share_is_kept_and_all_and_none_are_exact() {
        let traced = |ratio| {
            let mut ids = Ids::new(ratio);
            (0..10_000).filter(|_| ids.begin(None, false).is_some()).count()
        };
        assert_eq!((traced(0.0), traced(1.0)), (0, 10_000));
        let tenth = traced(0.1);
        assert!((800..1200).contains(&tenth), "{tenth}");
        assert!(Ids::new(0.0).begin(parse(GOOD.as_bytes()), true).is_some(), "asked for");
    }
}
