//! Repository checks a compiler cannot make
