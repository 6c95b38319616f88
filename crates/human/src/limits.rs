//! Bounds of the feature file and of what scoring reads. One table, [`LIMITS`], shows them to people.

/// Most features in one file, and the slots for their values that every worker holds ready.
pub const FEATURES_MAX: usize = 200;

/// Most bytes of one file.
pub const FILE_BYTES_MAX: usize = 512 * 1024;

/// Most trees in one file.
pub const TREES_MAX: usize = 64;

/// Most nodes in one tree, leaves included.
pub const NODES_MAX: usize = 127;

/// Most splits between the root of a tree and a leaf.
pub const DEPTH_MAX: usize = 6;

/// Most bytes of a feature's name.
pub const NAME_BYTES_MAX: usize = 64;

/// Most bytes of a feature's parameter.
pub const PARAMETER_BYTES_MAX: usize = 64;

/// Most different header names that the features of one file look at.
pub const HEADERS_MAX: usize = 64;

/// Largest value of a leaf and of the base score, either way of 0, in log-odds.
pub const LEAF_MAX: f32 = 10.0;

/// Bytes of a header value that are read; what lies behind does not count.
pub const VALUE_BYTES_READ: usize = 512;

/// Bytes of the path, and of the query, that are read; what lies behind does not count.
pub const PATH_BYTES_READ: usize = 256;

/// From this share of a limit on, a file is warned about.
pub const WARN_PERCENT: usize = 80;

/// One bound, for people.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// What is bounded.
    pub what: &'static str,
    /// The bound.
    pub most: usize,
    /// Its unit.
    pub unit: &'static str,
    /// Why that much.
    pub why: &'static str,
}

/// Every bound, in the order of the document.
pub const LIMITS: &[Limit] = &[
    Limit {
        what: "file",
        most: FILE_BYTES_MAX,
        unit: "bytes",
        why: "all that the other limits allow fits; a longer file was made by accident",
    },
    Limit {
        what: "features",
        most: FEATURES_MAX,
        unit: "rows",
        why: "three times what is in use; each worker holds a slot for each, made beforehand",
    },
    Limit {
        what: "trees",
        most: TREES_MAX,
        unit: "trees",
        why: "with the depth it bounds a score to some hundred steps, about a microsecond",
    },
    Limit {
        what: "nodes of a tree",
        most: NODES_MAX,
        unit: "nodes",
        why: "a full tree of the greatest depth",
    },
    Limit {
        what: "depth of a tree",
        most: DEPTH_MAX,
        unit: "splits",
        why: "boosting wants shallow trees; deeper ones learn their examples by heart",
    },
    Limit {
        what: "name of a feature",
        most: NAME_BYTES_MAX,
        unit: "bytes",
        why: "names are read by people, in messages and differences",
    },
    Limit {
        what: "parameter of a feature",
        most: PARAMETER_BYTES_MAX,
        unit: "bytes",
        why: "header names and words of a user agent are shorter; it bounds the memory of the search for them",
    },
    Limit {
        what: "header names in one file",
        most: HEADERS_MAX,
        unit: "names",
        why: "places for their values lie on the stack during a score",
    },
    Limit {
        what: "header value that is read",
        most: VALUE_BYTES_READ,
        unit: "bytes",
        why: "a client must not choose how long its score takes; what tells clients apart stands in front",
    },
    Limit { what: "path and query that are read", most: PATH_BYTES_READ, unit: "bytes", why: "the same" },
];
