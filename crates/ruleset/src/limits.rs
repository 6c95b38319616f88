//! Bounds on rules, each with its unit and reason (DESIGN R10).

use seawall_model::Limit;

/// Longest pattern.
pub const PATTERN_BYTES: Limit = Limit {
    name: "rule_pattern",
    value: 1_024,
    unit: "bytes per regular expression",
    reason: "longer than what people write by hand; long sets of words are better several rules",
};

/// What a pattern may compile to. Time is at worst the compiled size times the length of what is searched.
pub const PATTERN_COMPILED_BYTES: Limit = Limit {
    name: "rule_pattern_compiled",
    value: 32_768,
    unit: "bytes per compiled regular expression",
    reason: "a search takes at worst this times the length of the text, some 2 ms per KiB of it; several times what ordinary patterns need",
};

/// How deep groups may stand in one another.
pub const PATTERN_DEPTH: Limit = Limit {
    name: "rule_pattern_depth",
    value: 50,
    unit: "groups within groups",
    reason: "compiling walks down them",
};

/// Rules of one zone.
pub const RULES: Limit = Limit {
    name: "rules",
    value: 1_000,
    unit: "rules per zone",
    reason: "they are tried in order, so their count is time on every request",
};

/// What the patterns of one zone may compile to together.
pub const RULESET_BYTES: Limit = Limit {
    name: "rules_compiled",
    value: 8 << 20,
    unit: "bytes per zone of compiled regular expressions",
    reason: "each worker adds scratch to it; a machine holds many zones",
};

/// Every bound on rules: what is checked and what is documented.
pub const LIMITS: &[Limit] = &[PATTERN_BYTES, PATTERN_COMPILED_BYTES, PATTERN_DEPTH, RULES, RULESET_BYTES];
