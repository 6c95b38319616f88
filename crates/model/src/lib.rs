//! Documents, identifiers and limits: the vocabulary of configuration
