//! Bounds on configuration, each with its unit and reason (DESIGN R10).

/// One bound. At the bound all is well; beyond it the zone, or the file, is refused with a problem that names the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name in messages and documents.
    pub name: &'static str,
    /// The bound.
    pub value: u64,
    /// What is counted.
    pub unit: &'static str,
    /// Why there is one, and why here.
    pub reason: &'static str,
}

macro_rules! limits {
    ($($const:ident $name:literal = $value:literal $unit:literal, $reason:literal;)*) => {
        $(#[doc = concat!("At most ", $value, " ", $unit, ": ", $reason, ".")]
        pub const $const: Limit = Limit { name: $name, value: $value, unit: $unit, reason: $reason };)*

        /// Every bound on configuration: what is checked and what is documented.
        pub const LIMITS: &[Limit] = &[$($const),*];
    };
}

limits! {
    LISTS "lists" = 1_000 "lists", "each is a unit of its own, and rules name them by hand";
    LIST_ROWS "list_rows" = 1_000_000 "networks per list", "the largest public blocklists have some hundred thousand";
    LIST_FILE_BYTES "list_file" = 67_108_864 "bytes per file of a list", "64 MiB holds a million networks and their comments, and is read whole into memory";
    RULE_SOURCES "rule_sources" = 1_000 "networks per rule", "more are better a list, which rules share";
    BANS "bans" = 100 "lists of banned addresses", "each is looked through on every request";
    STAGES "stages" = 10 "stages of a rollout", "each lasts at least its hold, and a change must not take all day";
    FILE_BYTES "file" = 67_108_864 "bytes", "64 MiB holds 200,000 ordinary zones and is read whole into memory";
    ZONES "zones" = 1_000_000 "zones", "a zone takes a few KiB of memory, so a million fit one large machine";
    HOSTS "hosts" = 1_000 "hosts per zone", "each is an entry of the host table, and more are better several zones";
    ROUTES "routes" = 1_000 "routes per zone", "routes are tried in order, so their count is time on every request";
    POOLS "pools" = 200 "pools per zone", "each keeps connections, counters and monitors";
    ORIGINS "origins" = 64 "origins per pool", "a set of them is one machine word, so that choosing allocates nothing; more are better several pools, or one name with several addresses";
    FALLBACKS "fallbacks" = 16 "fallback pools per pool", "a request may walk the whole list before it fails";
    CERTIFICATES "certificates" = 1_000 "certificates per zone", "each is parsed and held in memory";
    LISTENERS "listeners" = 64 "listen addresses per protocol", "each is a socket in every worker";
    TRUSTED_PROXIES "trusted_proxies" = 10_000 "address ranges", "looked through when a connection comes in";
    HEADER_EDITS "header_edits" = 100 "header fields set or removed per route", "the most a head is allowed to hold by default";
    NAME_PATTERNS "name_patterns" = 100 "patterns per list", "tried against every query key or cookie of a request";
    METHODS "methods" = 32 "methods per route", "there are fewer in use";
    STATUSES "statuses" = 32 "status ranges per monitor", "there are only five classes";
    LOG_FIELDS "log_fields" = 200 "fields", "Logpush knows fewer";
    REDACTED_KEYS "redacted_keys" = 200 "query keys", "compared with every query key of a request";
    PATTERN_BYTES "pattern" = 2_048 "bytes per path or name pattern", "longer than any path people write by hand";
    PATTERN_STARS "pattern_stars" = 32 "stars per pattern", "each is a search over the rest of the path";
    HOST_BYTES "host" = 253 "bytes per host name", "RFC 1035 §2.3.4";
    NAME_BYTES "name" = 128 "bytes per name of a pool or an origin", "names become labels of metrics";
    TEXT_BYTES "text" = 8_192 "bytes per other text", "header values, paths and bodies to look for";
    WORKERS "workers" = 1_024 "threads", "more than the cores of any machine";
    CONNECTIONS "connections" = 10_000_000 "connections", "each needs a file descriptor";
    WEIGHT "weight" = 10_000 "per origin", "keeps sums of weights and the hash ring small";
    RETRIES "retries" = 10 "per request", "each try holds the visitor and loads the pool";
    DURATION_MS "duration" = 31_622_400_000 "milliseconds", "a year and a day; longer is a slip of the unit";
    SIZE_BYTES "size" = 281_474_976_710_656 "bytes", "256 TiB, beyond any disk tier";
    PROBLEMS "problems" = 10_000 "problems per report", "nobody reads more, and a report must fit in memory";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named_once_and_say_why() {
        for (at, limit) in LIMITS.iter().enumerate() {
            assert!(limit.value > 0 && !limit.unit.is_empty() && !limit.reason.is_empty(), "{}", limit.name);
            assert!(LIMITS.iter().skip(at + 1).all(|other| other.name != limit.name), "{}", limit.name);
        }
    }
}
