//! The report.

use crate::Ran;

/// One self-contained page.
#[must_use]
pub fn page(_ran: &[Ran]) -> String {
    String::new()
}
