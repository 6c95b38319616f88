//! Files as the generator of such files writes them, good and bad, for drills and tests.
//!
//! A bad one is made as on 18 November 2025: the query that listed the columns of the feature table was let see a second
//! database, so it returned each column once for every database, and more rows than anybody had made room for.

use crate::fault::FeatureFault;
use crate::file::FeatureFile;

/// Rows of the bad file: 60 columns, seen again through other databases until there were 260.
pub const BAD_ROWS: usize = 260;

/// The same file, generated at another time. Sound if `base` is and the time is as `2026-11-18T11:20:00Z`.
///
/// # Errors
/// When `base` is not JSON.
pub fn good(base: &[u8], generated: &str) -> Result<Vec<u8>, FeatureFault> {
    let mut file = FeatureFile::parse_unchecked(base)?;
    generated.clone_into(&mut file.generated);
    Ok(file.to_json())
}

/// The file with its rows repeated, in their order, until there are [`BAD_ROWS`].
///
/// # Errors
/// When `base` is not JSON.
pub fn bad(base: &[u8], generated: &str) -> Result<Vec<u8>, FeatureFault> {
    with_rows(base, generated, BAD_ROWS)
}

/// The file with its rows repeated, in their order, until there are that many; fewer if that is less than it has.
/// Twice its own number is the quiet form of the fault: the rows fit the slots, and only their names tell.
///
/// # Errors
/// When `base` is not JSON.
pub fn with_rows(base: &[u8], generated: &str, rows: usize) -> Result<Vec<u8>, FeatureFault> {
    let mut file = FeatureFile::parse_unchecked(base)?;
    generated.clone_into(&mut file.generated);
    file.features = file.features.iter().cycle().take(rows).cloned().collect();
    Ok(file.to_json())
}
