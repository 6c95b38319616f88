//! Patterns that make other engines explode: ten times the text takes about ten times the time, not a hundred or for ever.

use seawall_ruleset::Pattern;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Ten would be exactly linear, a hundred quadratic; between them the machine may have its moods.
const RATIO_MAX: f64 = 40.0;

/// The best of a few, so that what else the machine does falls out.
fn best_of(runs: usize, mut run: impl FnMut()) -> Duration {
    let once = |run: &mut dyn FnMut()| {
        let began = Instant::now();
        run();
        began.elapsed()
    };
    (0..runs).map(|_| once(&mut run)).min().unwrap_or_default()
}

/// Text over an alphabet, without an end that matches.
fn text(alphabet: &[u8], length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        alphabet.get((state >> 33) as usize % alphabet.len()).copied().unwrap_or(b'~')
    };
    (1..length).map(|_| next()).chain([b'~']).collect()
}

#[test]
fn ten_times_the_text_takes_about_ten_times_the_time() {
    for (text_of, alphabet) in [
        ("(a+)+$", &b"aaab"[..]),
        ("(a|a)*b", b"a"),
        ("(a|aa)+c", b"a"),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", b"ab"),
        ("x*x*x*x*x*x*x*x*y", b"x"),
        (".*.*=.*!", b"=x"),
        // 2 July 2019.
        (r"(?:\s|-|~|!|\{\}|\|\||\+)*.*(?:.*=.*)!", b"x= x"),
        // As many states as the limit lets pass, all alive: the worst there is.
        ("[01]*1[01]{300}z", b"01"),
        ("(?:a?){150}a{150}b", b"a"),
        (".*.*.*=.{200}.*z", b"=ab"),
        (r"(\w+\s?)*\d!", b"ab "),
    ] {
        let pattern = Pattern::compile(text_of).unwrap_or_else(|fault| panic!("{text_of}: {fault}"));
        // Both long enough that the engine has given up on what only pays for short texts.
        let (short, long) = (text(alphabet, 5_000), text(alphabet, 50_000));
        let repeat = |text: &[u8]| {
            best_of(3, || {
                (0..1).for_each(|_| assert!(!black_box(pattern.matches(black_box(text))), "{text_of}"))
            })
        };
        let (short, long) = (repeat(&short), repeat(&long));
        // What a prefilter answers at once has no ratio.
        let ratio = long.as_secs_f64() / short.as_secs_f64().max(20e-6);
        assert!(ratio < RATIO_MAX, "{text_of}: {short:?} then {long:?}, {ratio:.0} times");
        // 50,000 bytes are more than any header or path the edge takes by default.
        assert!(long < Duration::from_secs(2), "{text_of}: {long:?}");
    }
}
