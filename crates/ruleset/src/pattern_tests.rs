use super::*;

fn refused(text: &str) -> PatternFault {
    Pattern::check(text).expect_err(text)
}

#[test]
fn a_pattern_is_found_anywhere_in_bytes() {
    for (pattern, text, want) in [
        ("admin", &b"/x/admin/y"[..], true),
        ("^/admin", b"/x/admin/y", false),
        ("(?i)ADMIN", b"/aDmIn", true),
        (r"\.php$", b"/a.php", true),
        (r"\.php$", b"/a.php5", false),
        (r"^\w+$", b"abc_9", true),
        (r"^\w+$", "é".as_bytes(), false),
        ("é", "caf\u{e9}".as_bytes(), true),
        (r"\xff", b"a\xffb", true),
        ("^.$", b"\xff", true),
        ("a|b", b"", false),
        (".*", b"", true),
        ("a.c", b"a\nc", false),
        (r"(?s)a.c", b"a\nc", true),
    ] {
        let got = Pattern::compile(pattern).unwrap().matches(text);
        assert_eq!(got, want, "{pattern} in {:?}", text.escape_ascii().to_string());
    }
}

#[test]
fn what_is_no_pattern_is_refused_with_its_place() {
    for (pattern, at, says) in [
        ("a(b", 1, "unclosed group"),
        ("ab[", 2, "unclosed character class"),
        ("*a", 0, "repetition operator missing expression"),
        (r"a\", 1, "incomplete escape sequence"),
        (r"(a)\1", 3, "backreferences are not supported"),
        ("a(?=b)", 1, "look-around"),
        ("x{5,2}", 1, "invalid repetition count range"),
        ("[é]", 1, "Unicode not allowed"),
        (r"a\p{Greek}", 1, "Unicode not allowed"),
    ] {
        let PatternFault::Syntax { at: got, message } = refused(pattern) else { panic!("{pattern}") };
        assert_eq!(got, Some(at), "{pattern}: {message}");
        assert!(message.contains(says), "{pattern}: {message}");
    }
}

#[test]
fn beyond_each_limit_a_pattern_is_refused_by_the_limit() {
    let long = "a".repeat(1_025);
    let deep = format!("{}a{}", "(".repeat(60), ")".repeat(60));
    for (pattern, limit) in [
        (long.as_str(), limits::PATTERN_BYTES),
        (&deep, limits::PATTERN_DEPTH),
        ("a{100000}", limits::PATTERN_COMPILED_BYTES),
        ("(a{1000}){1000}", limits::PATTERN_COMPILED_BYTES),
        ("((((a{99}){99}){99}){99}){99}", limits::PATTERN_COMPILED_BYTES),
        ("(?:[ab]?){999}[ab]{999}", limits::PATTERN_COMPILED_BYTES),
        ("(?:.*x){999}", limits::PATTERN_COMPILED_BYTES),
        (r"(?i)(\w{1,200}\s?){100}", limits::PATTERN_COMPILED_BYTES),
    ] {
        let fault = refused(pattern);
        assert_eq!(fault.limit(), Some((limit.name, limit.value)), "{fault}");
        assert!(fault.to_string().contains(&limit.value.to_string()), "{fault}");
    }
    assert_eq!(refused(""), PatternFault::Empty);
    assert_eq!(Pattern::check(&"a".repeat(512)), Ok(()));
}

#[test]
fn a_refusal_costs_no_memory_and_little_time_however_large_it_would_become() {
    // Ninety-nine to the fifth: without the limit this is hundreds of gigabytes.
    let began = std::time::Instant::now();
    refused("((((a{99}){99}){99}){99}){99}");
    assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
}

#[test]
fn patterns_in_use_are_well_within_the_limits() {
    for pattern in [
        r"(?i)\.(?:php\d?|aspx?|jsp|cgi)$",
        r"^/wp-(?:login|admin|includes|content/plugins)",
        r"(?i)(?:union.{1,40}select|select.{1,40}from|insert.{1,40}into|sleep\(\d+\))",
        r"(?i)(?:curl|wget|python-requests|go-http-client|scrapy|libwww|nikto|sqlmap|masscan|zgrab)/?",
        r"(?:\.\./|%2e%2e%2f|%252e){2,}",
        r"^(?:\d{1,3}\.){3}\d{1,3}$",
        r"(?i)<script[^>]*>|javascript:|on(?:error|load|click)\s*=",
        // The pattern of 2 July 2019.
        r#"(?:(?:"|'|\]|\}|\\|\d|(?:nan|infinity|true|false|null|undefined|symbol|math)|`|\-|\+)+[)]*;?((?:\s|-|~|!|\{\}|\|\||\+)*.*(?:.*=.*)))"#,
    ] {
        let pattern = Pattern::compile(pattern).unwrap_or_else(|fault| panic!("{pattern}: {fault}"));
        assert!(pattern.heap_size() < 2 * 32_768, "{}", pattern.heap_size());
    }
}
