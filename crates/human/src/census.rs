//! The rows of a file, counted without judging them, for those who compare a file with the one before it.

use crate::check;
use crate::fault::{FeatureFault, Repeated};
use crate::file::FeatureFile;
use crate::limits::FILE_BYTES_MAX;

/// What stands in a file, sound or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Names of the features, in order, repeated ones too.
    pub names: Vec<String>,
    /// Those that repeat an earlier one.
    pub repeated: Repeated,
    /// Number of trees.
    pub trees: usize,
}

impl Census {
    /// Counts a file.
    ///
    /// # Errors
    /// When the bytes are not JSON, or more than a file may have.
    pub fn of(bytes: &[u8]) -> Result<Census, FeatureFault> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(check::too_many("file", "bytes", bytes.len(), FILE_BYTES_MAX));
        }
        Ok(Census::of_file(&FeatureFile::parse_unchecked(bytes)?))
    }

    /// Counts a file that was read.
    #[must_use]
    pub fn of_file(file: &FeatureFile) -> Census {
        let repeated = check::repeated(file.features.iter().map(|row| row.name.as_str()));
        let names = file.features.iter().map(|row| row.name.clone()).collect();
        Census { names, repeated, trees: file.trees.len() }
    }

    /// Number of rows, repeated ones counted.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.names.len()
    }
}
